import pytest

from tests.benchmarks.scaling_model import (
    Cluster,
    Costs,
    DriverCosts,
    Load,
    fit_driver,
    fit_workers,
)

DRIVER = DriverCosts(wave_s=2.0, tile_s=0.001, object_s=0.01, mosaic_s=0.1, particle_s=1e-5)
COSTS = Costs(DRIVER, work_s=0.2, start_s=5.0)


def test_the_driver_pays_for_waves_tiles_objects_mosaics_and_particles():
    load = Load(tiles=800, mosaics=3, particles=10_000, tiles_per_object=16)

    # 100 objects, as every tile is segmented and painted.
    assert DRIVER.seconds(load) == pytest.approx(2.0 + 0.8 + 1.0 + 0.3 + 0.1)
    assert DRIVER.meanwhile_s(load) == pytest.approx(0.8 + 1.0 + 0.3 + 0.1)


def test_twice_the_workers_take_half_the_time_while_the_driver_keeps_up():
    load = Load(tiles=10_000, mosaics=1)
    one, two = (COSTS.seconds(load, Cluster(nodes, 4)) for nodes in (1, 2))

    start_and_tail = 5.0 + 16 * 0.2 / 2
    assert one - start_and_tail == pytest.approx(2 * (two - start_and_tail))


def test_beyond_the_most_workers_nothing_is_gained():
    load = Load(tiles=10_000, mosaics=1)
    most = COSTS.most_workers(load)

    nodes = int(most) + 1
    assert COSTS.seconds(load, Cluster(nodes, 1)) == COSTS.seconds(load, Cluster(2 * nodes, 1))
    assert COSTS.seconds(load, Cluster(nodes - 2, 1)) > COSTS.seconds(load, Cluster(nodes, 1))


def test_a_driver_without_a_core_of_its_own_takes_time_from_the_workers():
    load = Load(tiles=1000, mosaics=1)

    alone, shared = (COSTS.seconds(load, Cluster(1, 2, spare)) for spare in (True, False))

    assert shared - alone == pytest.approx(DRIVER.meanwhile_s(load) / 2)


def test_the_shares_of_the_driver_add_up():
    shares = COSTS.shares(Load(tiles=1600, mosaics=10, particles=1000))

    assert set(shares) == {"wave", "tile", "object", "mosaic", "particle"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["object"] == pytest.approx(2.0 / (2.0 + 1.6 + 2.0 + 1.0 + 0.01))


def test_more_work_than_is_given_at_once_is_done_in_waves():
    assert Load(tiles=10, mosaics=1, jobs_at_once=20).waves == 1
    assert Load(tiles=11, mosaics=1, jobs_at_once=20).waves == 2


def test_the_fit_finds_the_costs_of_a_driver_that_follows_the_model():
    loads = [
        Load(tiles, mosaics, particles, per_object)
        for tiles, mosaics, particles, per_object in [
            (1024, 4, 0, 16),
            (10_240, 640, 7000, 16),
            (10_240, 40, 0, 1),
            (512, 2, 90_000, 4),
            (102_400, 400, 100, 64),
            (20_480, 80, 0, 128),
        ]
    ]

    found = fit_driver(loads, [DRIVER.seconds(load) for load in loads])

    for name in ("wave_s", "tile_s", "object_s", "mosaic_s", "particle_s"):
        assert getattr(found, name) == pytest.approx(getattr(DRIVER, name), rel=1e-3)


def test_the_fit_finds_the_costs_of_workers_that_follow_the_model():
    loads = [Load(16, 1, tiles_per_object=1), Load(64, 1, tiles_per_object=2), Load(256, 1)]
    clusters = [Cluster(1, 1), Cluster(1, 2), Cluster(1, 4)]
    free = Costs(DriverCosts(0, 0, 0, 0, 0), work_s=0.2, start_s=5.0)
    seconds = [free.seconds(*run) for run in zip(loads, clusters, strict=True)]

    assert fit_workers(loads, clusters, seconds) == pytest.approx((0.2, 5.0))
