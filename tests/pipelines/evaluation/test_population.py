import math

import numpy as np
import pytest

from pipelines.evaluation.population import (
    class_ratio,
    correct_ratio_by_test,
    corrected_ratio,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("n_class", "n_total", "expected"),
    [
        # Newcombe, Stat. Med. 17, 857 (1998), table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_the_interval_is_the_published_one(n_class, n_total, expected):
    assert wilson_interval(n_class, n_total) == pytest.approx(expected, abs=5e-5)


def test_the_ends_belong_to_the_interval():
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0


def test_an_empty_population_has_no_ratio():
    ratio = class_ratio(0, 0)

    assert all(math.isnan(x) for x in (ratio.ratio, ratio.low, ratio.high))


def test_more_members_than_population_is_refused():
    with pytest.raises(ValueError, match="n_class must be 0 to n_total, got 3 of 2"):
        wilson_interval(3, 2)


def test_a_perfect_classifier_needs_no_correction():
    assert corrected_ratio(0.3, true_positive=1.0, false_positive=0.0) == 0.3


def test_the_correction_undoes_the_errors():
    observed = 0.1 * 0.95 + 0.9 * 0.08

    assert corrected_ratio(observed, true_positive=0.95, false_positive=0.08) == pytest.approx(0.1)


def test_the_corrected_ratio_stays_a_ratio():
    assert corrected_ratio(0.02, true_positive=0.9, false_positive=0.1) == 0.0
    assert corrected_ratio(0.99, true_positive=0.9, false_positive=0.1) == 1.0


def test_chance_says_nothing_about_the_population():
    assert math.isnan(corrected_ratio(0.5, true_positive=0.5, false_positive=0.5))


def test_the_corrected_interval_covers_and_knows_the_test_set_is_small(rng):
    counts = {"n_predicted": 330, "n_total": 1000, "rng": rng}
    large = correct_ratio_by_test(
        n_true_positive=9000, n_positive=10000, n_false_positive=1000, n_negative=10000, **counts
    )
    small = correct_ratio_by_test(
        n_true_positive=90, n_positive=100, n_false_positive=10, n_negative=100, **counts
    )

    assert large.ratio == small.ratio == pytest.approx(0.2875)
    assert large.low < 0.2875 < large.high
    assert small.high - small.low > 1.5 * (large.high - large.low)


def test_a_classifier_near_chance_leaves_the_ratio_open(rng):
    corrected = correct_ratio_by_test(
        n_predicted=5,
        n_total=10,
        n_true_positive=6,
        n_positive=10,
        n_false_positive=5,
        n_negative=10,
        rng=rng,
    )

    assert (corrected.low, corrected.high) == (0.0, 1.0)


@pytest.mark.parametrize("missing", ["n_total", "n_positive", "n_negative"])
def test_without_a_side_of_the_test_set_there_is_no_correction(missing, rng):
    counts = dict.fromkeys(
        ("n_predicted", "n_total", "n_true_positive", "n_positive", "n_negative"), 10
    )
    counts |= {"n_false_positive": 0, missing: 0}

    assert math.isnan(correct_ratio_by_test(**counts, rng=np.random.default_rng(0)).ratio)
