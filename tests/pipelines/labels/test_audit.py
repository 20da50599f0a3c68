import math

import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.evaluation.population import wilson_interval
from pipelines.labels.audit import (
    AuditLevel,
    acceptance_threshold,
    audit_levels,
    choose_sample,
    plant_canaries,
    report_canaries,
)

IDS = np.arange(5000) * 31 + 7


def test_levels_go_from_the_surest_tenth_to_all():
    scores = np.arange(100) / 100
    audited = np.arange(100) % 2 == 0
    right = scores >= 0.5

    levels = audit_levels(scores, audited, right)

    assert [level.n_proposals for level in levels] == list(range(10, 101, 10))
    assert [level.n_audited for level in levels] == list(range(5, 51, 5))
    assert [level.n_right for level in levels] == [5, 10, 15, 20, 25, 25, 25, 25, 25, 25]
    assert levels[0].threshold == pytest.approx(0.9)
    assert levels[-1].threshold == 0
    assert levels[-1].precision == 0.5
    assert levels[-1].lower_bound == wilson_interval(25, 50)[0]


def test_what_was_not_audited_is_not_counted_as_right():
    levels = audit_levels([0.1, 0.9], [False, False], [True, True])

    assert [level.n_right for level in levels] == [0, 0]
    assert math.isnan(levels[0].precision)
    assert acceptance_threshold(levels) is None


def test_equal_scores_are_one_level():
    assert len(audit_levels([0.5] * 7, [True] * 7, [True] * 7)) == 1
    assert audit_levels([], [], []) == []


def level(threshold, lower_bound):
    return AuditLevel(threshold, 100, 100, 99, lower_bound)


def test_the_lowest_score_with_enough_precision_is_the_threshold():
    levels = [level(0.9, 0.93), level(0.7, 0.96), level(0.5, 0.951), level(0.3, 0.949)]

    assert acceptance_threshold(levels) == 0.5
    assert acceptance_threshold(levels, precision=0.955) == 0.7
    assert acceptance_threshold(levels, precision=0.99) is None
    assert acceptance_threshold([]) is None


def test_few_audited_are_never_enough():
    everyone = np.ones(72, dtype=bool)

    assert acceptance_threshold(audit_levels(np.arange(72), everyone, everyone)) is None
    more = np.ones(73, dtype=bool)
    assert acceptance_threshold(audit_levels(np.arange(73), more, more)) is not None


def test_bad_proposals_are_hardly_ever_accepted_by_luck():
    # 93 % are right at every score: below what is asked.
    accepted = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        levels = audit_levels(rng.random(2000), rng.random(2000) < 0.15, rng.random(2000) < 0.93)
        accepted += acceptance_threshold(levels) is not None

    assert accepted <= 9


def test_a_sample_is_the_same_in_any_order_of_rows():
    shuffled = np.random.default_rng(0).permutation(IDS)

    chosen = choose_sample(IDS, 200, seed=1, purpose="audit")
    again = choose_sample(shuffled, 200, seed=1, purpose="audit")

    assert chosen.sum() == 200
    assert set(IDS[chosen]) == set(shuffled[again])
    assert choose_sample(IDS[:5], 200, seed=1, purpose="audit").all()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_canaries_get_another_label_and_nobody_else_does(n_classes):
    given = np.arange(5000) % n_classes

    labels, is_canary = plant_canaries(given, IDS, share=0.02, n_classes=n_classes, seed=3)

    assert is_canary.sum() == 100
    assert (labels != given).tolist() == is_canary.tolist()
    steps = (labels - given)[is_canary] % n_classes
    assert set(steps.tolist()) == set(range(1, n_classes))


@pytest.mark.parametrize("share", [-0.01, 0.2, float("nan")])
def test_a_share_of_canaries_that_would_spoil_the_labels_is_refused(share):
    with pytest.raises(SettingsError, match=r"--canaries must be 0 to 0\.1, got"):
        plant_canaries([0, 1], [1, 2], share=share, n_classes=2, seed=0)


@pytest.mark.parametrize(("error_rate", "n_classes"), [(0.0, 2), (0.3, 2), (0.4, 5)])
def test_canaries_tell_the_recall_whatever_the_error_rate(error_rate, n_classes):
    rng = np.random.default_rng(5)
    n = 400_000
    true = rng.integers(n_classes, size=n)
    wrong = rng.random(n) < error_rate
    given = np.where(wrong, (true + rng.integers(1, n_classes, size=n)) % n_classes, true)
    labels, is_canary = plant_canaries(given, np.arange(n), share=0.1, n_classes=n_classes, seed=0)
    flagged = rng.random(n) < np.where(labels != true, 0.9, 0.05)

    report = report_canaries(flagged, is_canary, error_rate=error_rate, n_classes=n_classes)

    assert report.n_canaries == 40_000
    assert report.recall == pytest.approx(0.9, abs=0.01)
    assert report.interval[0] < report.n_flagged / 40_000 < report.interval[1]


def test_where_half_of_the_labels_are_wrong_canaries_tell_nothing():
    report = report_canaries([True] * 20, [True] * 15 + [False] * 5, error_rate=0.5, n_classes=2)

    assert math.isnan(report.recall)


def test_few_canaries_tell_no_recall():
    def recall(n):
        planted = np.arange(100) < n
        return report_canaries(planted, planted, error_rate=0.1, n_classes=2).recall

    assert math.isnan(recall(9))
    assert recall(10) == 1


def test_without_canaries_nothing_is_known():
    report = report_canaries([True, False], [False, False], error_rate=0.1, n_classes=2)

    assert report.n_canaries == 0
    assert all(math.isnan(end) for end in report.interval)
    assert math.isnan(report.recall)
