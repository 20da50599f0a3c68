import math

import numpy as np
import pytest

from pipelines.evaluation.classification import (
    accuracy,
    balanced_accuracy,
    bootstrap_interval,
    brier_score,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    mean_interval,
    softmax,
)


def test_rows_of_the_confusion_matrix_are_true_classes():
    confusion = confusion_matrix([0, 0, 0, 1], [0, 1, 1, 1], n_classes=3)

    assert confusion.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert accuracy(confusion) == 0.5
    assert balanced_accuracy(confusion) == pytest.approx((1 / 3 + 1) / 2)


def test_an_empty_confusion_matrix_has_no_accuracy():
    confusion = confusion_matrix([], [], n_classes=2)

    assert math.isnan(accuracy(confusion))
    assert math.isnan(balanced_accuracy(confusion))


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([0, 2], [0, 1], "true_labels must be 0 to 1, got 0 to 2"),
        ([0, 1], [0, -1], "predicted_labels must be 0 to 1, got -1 to 0"),
        ([0, 1], [0], r"predicted_labels must have shape \(2,\)"),
        ([0.5], [0], "true_labels must be class indices, got dtype float64"),
    ],
)
def test_labels_that_are_not_classes_are_refused(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(true, predicted, n_classes=2)


def test_calibration_error_weighs_bins_by_their_size():
    probs = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])

    # Bin of 0.9: 2 of 3 right, gap 0.7/3 of mass 3/4; bin of 0.6: right, gap 0.4 of mass 1/4.
    error = expected_calibration_error(probs, [0, 0, 1, 0], n_bins=10)

    assert error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.4)


def test_full_confidence_that_is_right_has_no_calibration_error():
    assert expected_calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 1]) == 0


def test_brier_score_of_two_classes():
    assert brier_score(np.array([[0.8, 0.2], [0.3, 0.7]]), [0, 0]) == pytest.approx(
        (0.04 + 0.04 + 0.49 + 0.49) / 2
    )


def test_probabilities_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        brier_score(np.array([[0.8, 0.1]]), [0])


def test_the_temperature_that_made_the_labels_is_found(rng):
    logits = rng.normal(size=(20_000, 3)) * 4
    probs = softmax(logits, temperature=2.5)
    labels = (probs.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)

    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


def test_without_labels_the_temperature_is_one():
    assert fit_temperature(np.empty((0, 2)), []) == 1.0


def test_labels_that_logits_never_contradict_keep_the_temperature_in_its_range():
    assert fit_temperature(np.array([[5.0, -5.0], [-5.0, 5.0]]), [0, 1]) >= 0.05


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="logits must be finite"):
        fit_temperature(np.array([[np.nan, 0.0]]), [0])


def test_huge_logits_make_probabilities_without_overflow():
    np.testing.assert_array_equal(softmax(np.array([[1e6, 0.0]])), [[1.0, 0.0]])


def test_copies_of_a_particle_do_not_narrow_the_interval(rng):
    right = rng.random(200) < 0.8
    once = mean_interval(right, np.arange(200), rng=np.random.default_rng(1))

    thrice = mean_interval(
        np.repeat(right, 3), np.repeat(np.arange(200), 3), rng=np.random.default_rng(1)
    )

    assert thrice == pytest.approx(once)


def test_the_interval_has_the_width_of_the_binomial(rng):
    right = np.arange(400) < 320

    low, high = mean_interval(right, np.arange(400), rng=rng)

    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.1)


def test_any_statistic_has_an_interval_over_groups(rng):
    values = np.array([1.0, 1.0, 3.0, 3.0, 3.0])
    groups = ["a", "a", "b", "b", "b"]
    seen = set()

    def mean(rows):
        seen.add(tuple(sorted(rows)))
        return float(values[rows].mean())

    low, high = bootstrap_interval(mean, groups, rng=rng)

    assert (low, high) == (1.0, 3.0)
    # Two groups drawn with repeats: never a part of one.
    assert seen == {(0, 0, 1, 1), (0, 1, 2, 3, 4), (2, 2, 3, 3, 4, 4)}


def test_nothing_to_resample_gives_no_interval(rng):
    assert all(math.isnan(x) for x in mean_interval([], [], rng=rng))
    assert all(math.isnan(x) for x in bootstrap_interval(len, [], rng=rng))
