import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.training.samples import plain_samples, with_mirror_images
from pipelines.training.splits import (
    CLEAN_SMALL,
    SELECT,
    TEST,
    TRAIN,
    SplitFractions,
    hash_to_unit,
    split_roles,
)

IDS = np.arange(20_000, dtype=np.int64) * 4_294_967_296 + 7
FRACTIONS = SplitFractions(select=0.2, clean_small=0.05, test=0.1)


def test_shares_come_out_as_asked_for():
    roles = split_roles(IDS, fractions=FRACTIONS, seed=0)

    shares = np.bincount(roles, minlength=4) / len(IDS)
    assert shares[[TRAIN, SELECT, CLEAN_SMALL, TEST]] == pytest.approx(
        [0.65, 0.2, 0.05, 0.1], abs=0.01
    )


def test_no_particle_is_in_two_roles_with_its_mirror_images():
    n = len(IDS)
    samples = plain_samples(np.arange(n), IDS, np.zeros(n, int), np.zeros(n, int))
    both = with_mirror_images(samples, [1, 0])

    roles = split_roles(both.particle_ids, fractions=FRACTIONS, seed=3)

    seen = [set(both.particle_ids[roles == role].tolist()) for role in range(4)]
    assert sum(map(len, seen)) == len(set().union(*seen)) == n


def test_a_role_depends_on_the_id_alone():
    roles = split_roles(IDS, fractions=FRACTIONS, seed=0)

    some = np.random.default_rng(1).permutation(len(IDS))[:500]

    np.testing.assert_array_equal(split_roles(IDS[some], fractions=FRACTIONS, seed=0), roles[some])


def test_the_test_set_stays_when_other_shares_change():
    before = split_roles(IDS, fractions=FRACTIONS, seed=0)

    after = split_roles(IDS, fractions=SplitFractions(select=0.4, test=0.1), seed=0)

    np.testing.assert_array_equal(before == TEST, after == TEST)


def test_another_seed_is_another_split():
    one, other = (split_roles(IDS, fractions=FRACTIONS, seed=seed) for seed in (0, 1))

    assert 0.4 < (one == other).mean() < 0.6


def test_a_share_of_zero_gives_nobody_the_role():
    roles = split_roles(IDS, fractions=SplitFractions(select=0.1, test=0.0), seed=0)

    assert set(roles.tolist()) == {TRAIN, SELECT}


def test_hashes_of_neighbouring_ids_are_evenly_spread():
    places = hash_to_unit(np.arange(10_000, dtype=np.int64), 0, "split")

    counts, _ = np.histogram(places, bins=20, range=(0, 1))
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # chi-square, 19 degrees, p = 0.001


@pytest.mark.parametrize(
    ("shares", "rule"),
    [
        ({"select": -0.1}, "select share must be at least 0"),
        ({"test": 1.0}, "test share must be"),
        ({"select": 0.5, "test": 0.5}, "must leave some"),
    ],
)
def test_impossible_shares_are_refused(shares, rule):
    with pytest.raises(SettingsError, match=rule):
        SplitFractions(**shares)
