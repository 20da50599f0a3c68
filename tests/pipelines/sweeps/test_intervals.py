import numpy as np
import pytest

from pipelines.sweeps.intervals import (
    accuracy_difference,
    accuracy_gap,
    accuracy_interval,
    curve_over_trials,
    curves_over_seeds,
)


def test_the_interval_over_particles_is_that_of_a_share(rng):
    # 1,000 particles, 90 % right: half a width of 1.96 * sqrt(0.9 * 0.1 / 1000) = 0.0186.
    correct = np.zeros((1, 1000))
    correct[0, :900] = 1

    value, low, high = accuracy_interval(correct, rng=rng)

    assert value == 0.9
    assert value - low == pytest.approx(0.0186, abs=0.002)
    assert high - value == pytest.approx(0.0186, abs=0.002)


def test_more_seeds_on_the_same_particles_tell_no_more_about_particles(rng):
    one = (rng.random((1, 400)) < 0.8).astype(float)

    single = accuracy_interval(one, rng=np.random.default_rng(1))
    repeated = accuracy_interval(np.repeat(one, 5, axis=0), rng=np.random.default_rng(1))

    assert repeated == pytest.approx(single)


def test_the_interval_covers_the_truth_as_often_as_it_says(rng):
    hits = 0
    for _ in range(200):
        correct = (rng.random((1, 150)) < 0.8).astype(float)
        _, low, high = accuracy_interval(correct, n_resamples=300, rng=rng)
        hits += low <= 0.8 <= high

    # 95 % asked for; 90 % is more than 3 standard errors below.
    assert hits > 180


def test_seeds_that_disagree_widen_the_interval_when_they_are_resampled(rng):
    # Two trainings right everywhere, two right nowhere: particles tell nothing, seeds a lot.
    correct = np.array([[1.0] * 50, [1.0] * 50, [0.0] * 50, [0.0] * 50])

    over_particles = accuracy_interval(correct, rng=rng)
    over_both = accuracy_interval(correct, with_seeds=True, rng=rng)

    assert over_particles == (0.5, 0.5, 0.5)
    assert over_both.value == 0.5
    assert over_both.low == pytest.approx(0, abs=0.01)
    assert over_both.high == pytest.approx(1, abs=0.01)


def test_what_is_hard_for_both_leaves_the_difference_alone(rng):
    hard = rng.random(400) < 0.4
    better = np.where(hard, 0.0, 1.0)[None]
    worse = better.copy()
    worse[0, np.flatnonzero(~hard)[:20]] = 0

    paired = accuracy_difference(better, worse, rng=rng)
    apart = accuracy_gap(better, worse, rng=rng)

    assert paired.value == apart.value == pytest.approx(20 / 400)
    assert paired.low > 0.02
    assert apart.low < 0
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_methods_with_different_numbers_of_seeds_can_be_compared(rng):
    difference = accuracy_difference(np.ones((3, 10)), np.full((2, 10), 0.5), rng=rng)

    assert difference == (0.5, 0.5, 0.5)


def test_sets_of_different_particles_have_a_gap(rng):
    gap = accuracy_gap(np.ones((2, 30)), np.full((2, 40), 0.25), rng=rng)

    assert gap == (0.75, 0.75, 0.75)


def test_the_same_generator_gives_the_same_interval(rng):
    correct = (rng.random((2, 90)) < 0.7).astype(float)

    first, second = (accuracy_interval(correct, rng=np.random.default_rng(4)) for _ in range(2))

    assert first == second


def test_trials_are_averaged_over_seeds_by_method_and_rate():
    rows = [
        {"method": "ce", "error_rate": 0.4, "seed": 0, "last": 0.70},
        {"method": "ce", "error_rate": 0.4, "seed": 1, "last": 0.74},
        {"method": "ce", "error_rate": 0.4, "seed": 2, "last": 0.78},
        {"method": "ce", "error_rate": 0.2, "seed": 0, "last": 0.9},
        {"method": "elr", "error_rate": 0.2, "seed": 0, "last": 0.95},
        {"method": "elr", "error_rate": 0.4, "seed": 0, "last": None},
        {"method": "gce", "error_rate": 0.4, "seed": 0, "last": float("nan")},
    ]

    curves = curves_over_seeds(rows, "last")

    assert list(curves) == ["ce", "elr"]
    assert curves["ce"].x.tolist() == [0.2, 0.4]
    assert curves["ce"].values.tolist() == pytest.approx([0.9, 0.74])
    # Student's 4.303 at 2 degrees of freedom, times 0.04 / sqrt(3)
    assert curves["ce"].high[1] == pytest.approx(0.74 + 4.3027 * 0.04 / 3**0.5, abs=1e-4)
    assert np.isnan(curves["ce"].low[0])
    assert curves["elr"].x.tolist() == [0.2]


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (np.zeros(3), r"correct must have shape \(n_seeds, n_particles\), got \(3,\)"),
        (np.zeros((0, 3)), r"got \(0, 3\)"),
        (np.full((1, 2), 90.0), "correct must be 0 to 1, got 90.0 to 90.0"),
        (np.array([[0.5, np.nan]]), "correct must be 0 to 1, got nan"),
    ],
)
def test_what_is_no_accuracy_is_refused(correct, message, rng):
    with pytest.raises(ValueError, match=message):
        accuracy_interval(correct, rng=rng)


def test_different_particles_are_not_compared_one_by_one(rng):
    with pytest.raises(ValueError, match="must have the same particles, got 3 and 4"):
        accuracy_difference(np.ones((1, 3)), np.ones((1, 4)), rng=rng)


def test_epochs_are_averaged_over_trials_with_the_least_and_the_greatest():
    trials = [
        [{"kept_precision": 0.6}, {"kept_precision": None}, {"kept_precision": 0.9}],
        [{"kept_precision": 0.8}, {"train_loss": 0.1}],
    ]

    curve = curve_over_trials(trials, "kept_precision")

    assert curve.x.tolist() == [1, 3]
    assert curve.values.tolist() == pytest.approx([0.7, 0.9])
    assert curve.low.tolist() == [0.6, 0.9]
    assert curve.high.tolist() == [0.8, 0.9]


def test_what_no_trial_recorded_is_an_empty_curve():
    assert curve_over_trials([[{"train_loss": 0.1}]], "kept_precision").x.size == 0
