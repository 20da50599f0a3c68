import math

import numpy as np
import pytest

from services.nightly.drift import (
    Drift,
    Spread,
    describe,
    describe_share,
    judge,
    robust_z,
    stability_index,
    to_spreads,
)


def spread(middle, *, n=100, error=0.1):
    return Spread(n, middle - 1, middle, middle + 1, error)


def test_a_night_is_described_by_quartiles_and_the_error_of_its_median(rng):
    values = rng.normal(50, 8, 4000)

    found = describe(values)

    assert found.middle == pytest.approx(50, abs=0.5)
    assert found.high - found.low == pytest.approx(2 * 0.6745 * 8, rel=0.05)
    # The median of a normal sample has an error of 1.2533 sigma over the root of n.
    assert found.error == pytest.approx(1.2533 * 8 / math.sqrt(4000), rel=0.05)


def test_values_that_are_not_known_do_not_count():
    assert describe(np.array([1.0, np.nan, 3.0])).n == 2
    assert describe(np.array([np.nan])).n == 0


def test_a_class_that_is_missing_still_has_an_error():
    found = describe_share(0, 50)

    assert found.middle == 0
    assert found.error > 0


def test_the_index_by_hand():
    # Every decile of the earlier night holds 10 values; tonight all lie in the lowest.
    earlier, now = np.arange(100.0), np.zeros(100)

    psi, limit = stability_index(earlier, now)

    low, high = 100.5 / 105, 0.5 / 105
    expected = (low - 0.1) * math.log(low / 0.1) + 9 * (high - 0.1) * math.log(high / 0.1)
    assert psi == pytest.approx(expected)
    assert psi > limit


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_nights_of_one_population_are_not_flagged(rng, n):
    flagged = 0
    for _ in range(200):
        psi, limit = stability_index(rng.normal(size=1000), rng.normal(size=n))
        flagged += psi >= limit

    assert flagged <= 2


def test_few_particles_need_a_larger_index_than_the_usual_one(rng):
    earlier = rng.normal(size=1000)

    assert stability_index(earlier, rng.normal(size=1000))[1] == 0.25
    assert stability_index(earlier, rng.normal(size=40))[1] > 0.5


def test_a_shift_of_one_deviation_is_flagged(rng):
    psi, limit = stability_index(rng.normal(size=1000), rng.normal(1, 1, 100))

    assert psi >= limit


def test_with_hardly_any_particles_nothing_is_said(rng):
    psi, limit = stability_index(rng.normal(size=1000), rng.normal(size=19))

    assert math.isnan(psi)
    assert math.isnan(limit)


def test_equal_values_make_no_bins_and_no_drift():
    psi, limit = stability_index(np.ones(100), np.ones(100))

    assert psi < limit


def test_z_by_hand():
    # Middles 1 to 5: median 3, median absolute deviation 1, so one deviation is 1.4826.
    history = [spread(float(middle)) for middle in (1, 2, 3, 4, 5)]

    z = robust_z(history, spread(9.0, error=0.0))

    assert z == pytest.approx(6 / 1.4826)


def test_the_nights_own_error_makes_z_smaller():
    history = [spread(3.0) for _ in range(6)]

    assert robust_z(history, spread(4.0, error=0.5)) == pytest.approx(2.0)


def test_z_needs_enough_nights_and_particles():
    history = [spread(float(middle)) for middle in (1, 2, 3, 4, 5)]

    assert math.isnan(robust_z(history[:4], spread(9.0)))
    assert math.isnan(robust_z(history, spread(9.0, n=19)))
    assert math.isnan(robust_z([spread(3.0, n=5)] * 9, spread(9.0)))


def test_a_drift_is_flagged_by_either_number():
    assert Drift("size", 0.3, 0.25, math.nan).is_flagged
    assert Drift("size", 0.1, 0.25, -4.0).is_flagged
    assert not Drift("size", 0.1, 0.25, 3.0).is_flagged
    assert not Drift("size", math.nan, math.nan, math.nan).is_flagged


def test_a_measure_is_held_against_nights_and_their_particles(rng):
    history = [spread(0.0, error=0.1) for _ in range(5)]
    values = rng.normal(3, 1, 100)

    found = judge("size", history, describe(values), pooled=(rng.normal(size=500), values))

    assert found.psi > found.psi_limit
    assert found.z > 3.5
    assert found.to_json()["flagged"] is True


def test_spreads_come_back_from_json():
    said = {"size": {"n": 0, "low": None, "middle": None, "high": None, "error": None}}

    assert math.isnan(to_spreads(said)["size"].middle)
