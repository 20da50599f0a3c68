"""What only Ray can show: processes, their number and their deaths."""

import json
import os
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from cluster.resources import ActorPool, Node, Wish
from pipelines.ledger import QUARANTINED, read_entries
from pipelines.segmentation import flow
from pipelines.segmentation.flow import segment_mosaics
from pipelines.segmentation.plan import plan_segmentation
from pipelines.tables import read_rows

pytestmark = [
    pytest.mark.ray,
    # Ray Data warns of its own settings when it copies them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]


def segment(archive, settings, n_workers, **options):
    plan = plan_segmentation(archive, archive.mosaic_names(), settings, core_px=64)
    return segment_mosaics(archive, plan, ActorPool(n_workers), **options)


def test_one_worker_and_two_write_the_same_bytes(
    embedded_ray, archive, tmp_path, here, monkeypatch
):
    image = here.draw_discs((200, 150))
    other = type(archive)(tmp_path / "other")
    other.mosaics.mkdir(parents=True)
    for place in (archive, other):
        here.add_mosaic(place, "large", image)
        here.add_mosaic(place, "small", image[:60, :60])

    segment(archive, here.settings, 1)
    # Two waves at least, the second of which goes on within a mosaic.
    monkeypatch.setattr(flow, "_n_at_once", lambda *pools: 16)
    segment(other, here.settings, 2)

    assert here.instance_bytes(archive, "large") == here.instance_bytes(other, "large")
    assert here.instance_bytes(archive, "small") == here.instance_bytes(other, "small")
    ours, theirs = (
        read_rows(place, "particles").sort_by("particle_id") for place in (archive, other)
    )
    assert ours == theirs


def test_a_tile_that_kills_its_worker_ends_in_quarantine_and_the_rest_goes_on(
    embedded_ray, archive, here
):
    image = here.draw_discs((64, 300))
    image[5, 295] = 252
    here.add_mosaic(archive, "m", image)

    (entry,) = segment(archive, replace(here.settings, method=here.poison), 2)

    lost = read_entries(archive, "segment", status=QUARANTINED).values()
    assert {tile.reason for tile in lost} == {"its process died 3 times"}
    assert {tile.attempts for tile in lost} == {3}
    gaps = json.loads(entry.result)["gaps"]
    assert len(gaps) == len(lost) == 1
    assert json.loads(entry.result)["instances"] > 10


def test_a_worker_that_is_killed_from_outside_costs_no_tile(embedded_ray, archive, tmp_path, here):
    image = here.draw_discs((200, 150))
    other = type(archive)(tmp_path / "other")
    other.mosaics.mkdir(parents=True)
    for place in (archive, other):
        here.add_mosaic(place, "m", image)
    here.segment(other)
    killed = threading.Event()

    def kill_a_worker(tile) -> None:
        if not killed.is_set():
            killed.set()
            workers = [
                child
                for child in psutil.Process(os.getpid()).children(recursive=True)
                if "MapWorker" in child.name() or "MapWorker" in " ".join(child.cmdline())
            ]
            os.kill(workers[0].pid, signal.SIGKILL)

    (entry,) = segment(archive, here.settings, 2, on_tile=kill_a_worker)

    assert killed.is_set()
    assert json.loads(entry.result)["gaps"] == []
    assert here.instance_bytes(archive, "m") == here.instance_bytes(other, "m")


class Batch:
    def heights_of_all(self, looks, settings): ...


def planned(n_tiles):
    settings = SimpleNamespace(method="m")
    return SimpleNamespace(settings=settings, mosaics=(), n_tiles_left=n_tiles)


@pytest.mark.parametrize(
    ("is_batch", "n_gpus", "n_workers", "n_network", "expected"),
    [
        # Without an accelerator one pool does all, unless somebody wants two.
        (True, 0, 4, None, (4, 1.0, None)),
        (True, 0, 4, 1, (3, 1.0, (1, 1.0, 0.0))),
        (True, 0, 1, 1, (1, 0.5, (1, 0.5, 0.0))),
        (True, 2, 16, None, (14, 1.0, (2, 1.0, 1.0))),
        (True, 1, 16, 2, (14, 1.0, (2, 1.0, 0.5))),
        (True, 1, 8, 0, (8, 1.0, None)),
        # Thresholds gain nothing by an accelerator.
        (False, 2, 16, None, (16, 1.0, None)),
    ],
)
def test_processors_and_accelerators_are_shared_out(
    monkeypatch, is_batch, n_gpus, n_workers, n_network, expected
):
    monkeypatch.setattr(flow, "load_method", lambda name: Batch() if is_batch else object())
    plan = planned(64)
    # A share that leaves room for as many as somebody wants.
    share = min(1.0, n_gpus / (n_network or n_gpus)) if n_gpus and n_network != 0 else 1.0

    nodes, wish = [Node(n_workers, n_gpus)], Wish(gpu_share=share)
    pool, network = flow.plan_pools(plan, nodes, wish, n_network)

    found = network and (network.size, network.num_cpus, network.num_gpus)
    assert (pool.size, pool.num_cpus, found) == expected


def test_an_accelerator_that_is_shared_has_an_actor_for_each_share(monkeypatch):
    monkeypatch.setattr(flow, "load_method", lambda name: Batch())
    plan = planned(64)

    _, network = flow.plan_pools(plan, [Node(8, 2)], Wish(gpu_share=0.5))

    assert (network.size, network.num_gpus) == (4, 0.5)


def test_there_is_no_second_pool_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(flow, "load_method", lambda name: Batch())
    plan = planned(64)

    pool, network = flow.plan_pools(plan, [Node(8, 2, 500e6)], Wish())

    assert (pool.size, network) == (1, None)


@pytest.mark.parametrize(("n_tiles", "sizes"), [(0, (1, 1)), (1, (1, 1)), (3, (3, 2))])
def test_no_actor_is_without_a_tile(monkeypatch, n_tiles, sizes):
    monkeypatch.setattr(flow, "load_method", lambda name: Batch())

    pool, network = flow.plan_pools(planned(n_tiles), [Node(16, 2)], Wish())

    assert (pool.size, network.size) == sizes


def test_two_pools_write_the_same_bytes_as_one(embedded_ray, archive, tmp_path, here):
    image = here.draw_discs((200, 150))
    other = type(archive)(tmp_path / "other")
    other.mosaics.mkdir(parents=True)
    for place in (archive, other):
        here.add_mosaic(place, "large", image)
        here.add_mosaic(place, "one-tile", image[:60, :60])
        here.add_mosaic(place, "another", image[60:110, :60])

    segment(archive, here.settings, 1)
    segment(other, here.settings, 1, network_pool=ActorPool(1))

    for name in ("large", "one-tile", "another"):
        assert here.instance_bytes(archive, name) == here.instance_bytes(other, name)
    ours, theirs = (
        read_rows(place, "particles").sort_by("particle_id") for place in (archive, other)
    )
    assert ours.num_rows > 20
    assert ours == theirs
    assert list(other.scratch.glob("segment/*/*.attempts")) == []


def test_a_tile_that_kills_the_networks_actor_ends_in_quarantine_alone(embedded_ray, archive, here):
    image = here.draw_discs((64, 300))
    image[5, 295] = 252
    here.add_mosaic(archive, "m", image)

    (entry,) = segment(
        archive, replace(here.settings, method=here.poison), 1, network_pool=ActorPool(1)
    )

    lost = read_entries(archive, "segment", status=QUARANTINED).values()
    assert [(tile.reason, tile.attempts) for tile in lost] == [("its process died 3 times", 3)]
    assert len(json.loads(entry.result)["gaps"]) == 1
    assert json.loads(entry.result)["instances"] > 10
