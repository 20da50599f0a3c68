import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.evaluation.anomaly import (
    bootstrap_over,
    check_scores,
    score_curve,
    threshold_at,
)


@pytest.fixture
def scored(rng):
    truth = rng.random(400) < 0.1
    # Rounded, so that there are ties across the classes.
    return np.round(rng.normal(size=400) + 1.5 * truth, 1), truth


def test_areas_are_those_of_scikit_learn_ties_included(scored):
    scores, truth = scored

    curve = score_curve(scores, truth)

    assert curve.roc_auc == pytest.approx(roc_auc_score(truth, scores))
    assert curve.pr_auc == pytest.approx(average_precision_score(truth, scores))


def test_a_curve_worked_by_hand():
    curve = score_curve([0.9, 0.8, 0.7, 0.6], [True, False, True, False])

    assert curve.recall.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert curve.precision.tolist() == pytest.approx([1.0, 1 / 2, 2 / 3, 1 / 2])
    assert curve.false_positive_rate.tolist() == [0.0, 0.5, 0.5, 1.0]
    assert curve.recall_at(0.1) == 0.5
    assert curve.recall_at(0.5) == 1.0


def test_weights_count_places_as_often_as_they_say(scored, rng):
    scores, truth = scored
    times = rng.integers(0, 4, size=len(scores))

    weighed = score_curve(scores, truth, weights=times)
    repeated = score_curve(np.repeat(scores, times), np.repeat(truth, times))

    assert weighed.pr_auc == pytest.approx(repeated.pr_auc)
    assert weighed.roc_auc == pytest.approx(repeated.roc_auc)


@pytest.mark.parametrize(
    "decisions",
    [
        np.array([True, False] * 20),
        np.array([1, -1] * 20),
        np.array(["defect", "normal"] * 20),
    ],
)
def test_hard_labels_are_refused_by_their_type(decisions):
    with pytest.raises(TypeError, match="must be floats, not hard labels"):
        score_curve(decisions, [True, False] * 20)


def test_hard_labels_that_are_dressed_as_floats_are_refused_too():
    with pytest.raises(ValueError, match="not hard labels, got 2 different values among 40"):
        score_curve(np.array([1.0, -1.0] * 20), [True, False] * 20)


def test_scores_must_be_finite():
    with pytest.raises(ValueError, match="must be finite, got 1"):
        check_scores([0.1, float("nan"), 0.3])


def test_a_curve_needs_both_classes():
    with pytest.raises(ValueError, match="both defects and others"):
        score_curve([0.1, 0.2], [False, False])


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 1.0])
def test_a_threshold_flags_no_more_clean_places_than_allowed(rng, rate):
    clean = rng.normal(size=300)

    flagged = clean >= threshold_at(clean, rate)

    assert flagged.mean() <= rate
    assert flagged.sum() == int(rate * 300)


def test_an_interval_is_wider_where_all_defects_are_in_few_images(rng):
    truth = np.zeros(600, bool)
    truth[:30] = True
    scores = rng.normal(size=600) + 1.0 * truth
    spread = np.arange(600) % 30
    # Images of 20 patches one after another: two of them hold all defects.
    together = np.arange(600) // 20

    def width(groups):
        found = bootstrap_over(
            groups, scores, truth, lambda curve: curve.pr_auc, rng=np.random.default_rng(0)
        )
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(together) > 1.5 * width(spread)


def test_one_image_has_no_interval():
    found = bootstrap_over(
        ["a"] * 4, [0.1, 0.2, 0.3, 0.4], [False, False, True, True], lambda curve: curve.roc_auc,
        rng=np.random.default_rng(0),
    )  # fmt: skip

    assert found.value == 1.0
    assert np.isnan(found.low)
