"""Those who watch a segmentation from outside: a log collector, Prometheus, a second terminal."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from cluster.metrics import exported_names
from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import write_mosaic
from services import cli
from services.progress import listening

pytestmark = [
    pytest.mark.ray,
    # Ray Data warns of its own settings when it copies them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]
N_TILES = 4
#: Ray hands metrics over every ten seconds.
PATIENCE_S = 60.0


def ask_for_status(archive):
    """What a second terminal would say."""
    said = subprocess.run(
        [sys.executable, "-m", "services", "status", "--archive", str(archive.root), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(said.stdout)


@pytest.fixture(scope="module")
def watched(embedded_ray, tmp_path_factory):
    """A segmentation of four tiles, its log, and what another process saw in the middle of it."""
    folder = tmp_path_factory.mktemp("watched")
    archive = create_archive(folder / "a")
    y, x = np.mgrid[:240, :240]
    image = np.where(((y % 40) - 20) ** 2 + ((x % 40) - 20) ** 2 < 100, 150, 50).astype(np.uint8)
    write_mosaic(archive.mosaic("dots"), image, pixel_size_nm=2.0)
    seen = []

    def look(standing):
        # What others can read is as old as the news before this.
        if standing.done and not seen:
            seen.append(ask_for_status(archive))

    flags = ["--core-px", "128", "--max-radius-px", "12", "--fill-holes-px", "4", "--workers", "2"]
    flags += ["--flatten-px", "0", "--log-file", str(folder / "events.jsonl")]
    with listening(look):
        status = cli.run(["segment", "--archive", str(archive.root), *flags])
    assert status == 0
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return SimpleNamespace(archive=archive, seen=seen[0], events=events)


def test_another_process_sees_what_runs_and_how_far_it_has_come(watched):
    seen = watched.seen

    assert seen["holder"]["pid"] == os.getpid()
    assert (seen["progress"]["what"], seen["progress"]["total"]) == ("segment", N_TILES)
    assert ask_for_status(watched.archive)["progress"] == {}


def test_the_log_has_a_line_for_every_tile_with_the_worker_that_did_it(watched):
    tiles = [event for event in watched.events if event["event"] == "tile"]

    assert len({(tile["mosaic"], tile["tile"]) for tile in tiles}) == len(tiles) == N_TILES
    assert {tile["status"] for tile in tiles} == {"done"}
    assert len({tile["run"] for tile in tiles}) == 1
    assert sum(tile["bytes"] for tile in tiles) == 240 * 240
    workers = {tile["worker"] for tile in tiles}
    assert all(re.fullmatch(r".+:\d+", worker) for worker in workers)
    assert not any(worker.endswith(f":{os.getpid()}") for worker in workers)


def scrape():
    """What Prometheus would get from this node."""
    import ray

    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read().decode()


def of_segment(text, name):
    """Sum a metric over the workers."""
    pattern = rf'^{name}\{{[^}}]*stage="segment"[^}}]*\}} (\S+)$'
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))


def test_prometheus_gets_the_tiles_their_time_and_their_bytes(watched):
    deadline = time.monotonic() + PATIENCE_S
    text = scrape()
    while of_segment(text, "ray_tessera_tiles_done_total") < N_TILES:
        assert time.monotonic() < deadline, f"no metrics came: {text[:2000]}"
        time.sleep(0.5)
        text = scrape()

    assert of_segment(text, "ray_tessera_tile_bytes_total") >= 240 * 240
    assert of_segment(text, "ray_tessera_tile_seconds_count") >= N_TILES
    assert of_segment(text, "ray_tessera_tile_seconds_sum") > 0


def test_what_ray_shows_has_the_names_that_dashboards_ask_for(watched):
    deadline = time.monotonic() + PATIENCE_S
    wanted = {name for name in exported_names() if "failed" not in name}
    while missing := {name for name in wanted if f"\n{name}{{" not in scrape()}:
        assert time.monotonic() < deadline, f"Ray shows no {missing}"
        time.sleep(0.5)
