import math

import numpy as np
import pytest

from pipelines.segmenter.early_learning import (
    Curve,
    correct_masks,
    fit_curve,
    should_correct,
    trigger_epoch,
)


def rise(a: float, b: float, c: float, n: int) -> list[float]:
    """A series as the method's authors place it: n points evenly from 0 to n."""
    x = np.linspace(0, n, n)
    return (a * (1 - np.exp(-(x**b) / c))).tolist()


@pytest.mark.parametrize(
    ("a", "b", "c", "n", "epoch"),
    [(0.8, 1.0, 3.0, 40, 8), (0.8, 0.6, 1.5, 40, 8), (0.6, 0.5, 2.0, 40, 11), (0.7, 1, 8, 16, 16)],
)
def test_the_trigger_of_a_known_rise_is_found_again(a, b, c, n, epoch):
    curve = fit_curve(rise(a, b, c, n))

    assert trigger_epoch(Curve(a, b, c), n) == epoch
    assert trigger_epoch(curve, n) == epoch


@pytest.mark.parametrize("c", [1.0, 2.0, 3.7, 6.2])
def test_of_a_plain_exponential_the_trigger_is_known(c):
    assert trigger_epoch(Curve(0.5, 1.0, c), 100) == math.ceil(1 + 2.302585 * c)


def test_a_rise_that_has_not_slowed_down_triggers_at_the_end():
    assert trigger_epoch(Curve(1.0, 1.0, 1000.0), 30) == 30


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least 5 epochs, got 4"):
        fit_curve([0.1, 0.2, 0.3, 0.35])


def test_the_fit_says_how_sure_it_is():
    noisy = np.array(rise(0.8, 0.8, 2.0, 30)) + np.random.default_rng(0).normal(0, 0.01, 30)

    curve = fit_curve(noisy.tolist())

    assert curve.a == pytest.approx(0.8, abs=0.05)
    assert 0 < curve.errors[0] < 0.1


def test_correction_begins_once_the_trigger_lies_behind_and_is_stable():
    series = rise(0.8, 1.0, 2.0, 40)

    first = next(n for n in range(1, 41) if should_correct(series[:n], 40))

    # The trigger of this rise is epoch 6, and a sixth point is needed to see that it stays.
    assert trigger_epoch(Curve(0.8, 1.0, 2.0), 40) == 6
    assert first == 7


def test_a_series_that_never_rises_is_no_reason():
    assert not should_correct([0.0] * 12, 40)


def test_what_the_network_is_sure_of_is_corrected_both_ways():
    given = np.array([[1, 1, 1, 0, 0, 0, 2, 2]], np.int32)
    foreground = np.array([[0.9, 0.9, 0.5, 0.5, 0.95, 0.95, 0.1, 0.5]], np.float32)
    found = np.array([[1, 1, 0, 0, 2, 2, 0, 0]], np.int32)

    instances, confidence = correct_masks(
        given, np.full((1, 8), 0.5, np.float32), foreground, found
    )

    # The third pixel stays with the object most of it became; the last keeps an id of its own.
    assert instances.tolist() == [[1, 1, 1, 0, 2, 2, 0, 4]]
    assert confidence[0] == pytest.approx([0.8, 0.8, 0.5, 0.5, 0.9, 0.9, 0.8, 0.5])


def test_where_the_network_is_not_sure_nothing_changes():
    given = np.array([[3, 3, 0, 0]], np.int32)
    unsure = np.full((1, 4), 0.7, np.float32)

    instances, confidence = correct_masks(
        given, np.ones((1, 4), np.float32), unsure, np.ones((1, 4), np.int32)
    )

    assert np.array_equal(instances > 0, given > 0)
    assert len(np.unique(instances)) == 2
    assert confidence.tolist() == [[1.0] * 4]
