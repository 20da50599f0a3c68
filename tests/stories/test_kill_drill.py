"""Processes die half way; what comes out is what would have come out anyway."""

import re
import shutil
from dataclasses import dataclass

import cv2
import numpy as np
import psutil
import pytest

from pipelines.archive import Archive, create_archive
from pipelines.ledger import read_entries
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.quarantine import list_quarantine
from pipelines.tables import read_rows
from services.verbs import segment

pytestmark = [
    pytest.mark.ray,
    # Ray Data copies its settings, and the copy sets those that it deprecates itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]

SHAPE = (2304, 2048)
CORE_PX = 256
N_TILES = 72
#: Pixels that lie further from their tile's edge than a tile reads beyond its core.
RAISING_PX, RAISING_TILE = (640, 896), "y512-768_x768-1024"
DEADLY_PX, DEADLY_TILE = (1664, 1152), "y1536-1792_x1024-1280"
#: Otsu's method, slow, failing or deadly where the environment wants it.
METHOD = """
import os, signal, time
from pipelines.segmentation.methods.otsu import Otsu

class Drill(Otsu):
    def heights(self, image, window, survey, settings):
        time.sleep(float(os.environ.get("DRILL_SLEEP_S", 0)))
        if "DRILL_BAD_PIXELS" in os.environ:
            if (image == 65535).any():
                raise ValueError("a pixel of 65535")
            if (image == 65534).any():
                os.kill(os.getpid(), signal.SIGKILL)
        return super().heights(image, window, survey, settings)

DRILL = Drill()
"""


@dataclass(frozen=True)
class Result:
    """What a segmentation left: digests of the instance image's files, rows of particles."""

    files: dict[str, str]
    particles: list[dict[str, object]]


@dataclass(frozen=True)
class Drill:
    """A mosaic of discs, a method for it, and what both give undisturbed."""

    archive: Archive
    method: str
    result: Result

    def command(self, archive: Archive) -> list[str]:
        """The command, the same every time."""
        return segment_command(archive, self.method)


def segment_command(archive: Archive, method: str) -> list[str]:
    command = f"segment --archive {archive.root} --method {method} --core-px {CORE_PX} --workers 2"
    return command.split()


@pytest.fixture(scope="module")
def drill(embedded_ray, digests, tmp_path_factory) -> Drill:
    folder = tmp_path_factory.mktemp("drill")
    archive = create_archive(folder / "undisturbed")
    write_mosaic(archive.mosaic("discs"), draw_discs(), pixel_size_nm=1.5)
    shutil.copytree(archive.root, folder / "fresh")
    (folder / "drill.py").write_text(METHOD)
    method = f"{folder / 'drill.py'}:DRILL"

    done = segment.execute(
        segment.Settings(archive=archive.root, method=method, core_px=CORE_PX, workers=2)
    )

    assert done.status == 0
    assert (done.values["tiles"], done.values["skipped"]) == (N_TILES, 0)
    result = read_result(archive, digests)
    assert len(result.particles) > 1000
    return Drill(Archive(folder / "fresh"), method, result)


@pytest.fixture
def archive(drill, tmp_path) -> Archive:
    """An archive with the mosaic, not segmented yet."""
    shutil.copytree(drill.archive.root, tmp_path / "archive")
    return Archive(tmp_path / "archive")


def draw_discs():
    """Draw 1500 discs, some touching, on noise; with the two pixels that a method may dislike."""
    rng = np.random.default_rng(71)
    image = rng.normal(800, 25, SHAPE)
    for y, x, radius in zip(
        rng.integers(0, SHAPE[0], 1500),
        rng.integers(0, SHAPE[1], 1500),
        rng.integers(6, 15, 1500),
        strict=True,
    ):
        cv2.circle(image, (int(x), int(y)), int(radius), 1600.0, thickness=-1)
    drawn = np.clip(image, 0, 4000).astype("uint16")
    drawn[RAISING_PX], drawn[DEADLY_PX] = 65535, 65534
    return drawn


def read_result(archive, digests) -> Result:
    particles = read_rows(archive, "particles").sort_by("particle_id").to_pylist()
    return Result(digests(archive.mosaic("discs") / "labels" / "instances"), particles)


def n_done(archive) -> int:
    return len(read_entries(archive, "segment", status="done"))


def counts(line: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}


def test_a_killed_run_is_taken_up_where_it_was_and_ends_the_same(
    drill, archive, tessera, begin, digests
):
    killed = begin(*drill.command(archive), DRILL_SLEEP_S=0.2)
    killed.wait_until(lambda: n_done(archive) >= N_TILES // 2)
    workers = [process for process in killed.family() if is_worker(process)]
    killed.kill()
    n_kept = n_done(archive)

    again = tessera(*drill.command(archive))

    assert again.returncode == 0, again.stderr
    found = counts(again.stdout)
    # Workers live a moment longer than their driver, and what they still find is used too.
    assert N_TILES // 2 <= n_kept <= found["skipped"] < N_TILES
    assert found["tiles"] + found["skipped"] == N_TILES
    assert read_result(archive, digests) == drill.result
    assert not archive.scratch.exists() or not list(archive.scratch.rglob("*.parts"))
    assert workers
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_ctrl_c_ends_with_one_line_and_the_same_command_goes_on_from_there(
    drill, archive, typed, begin, digests
):
    stopped = begin(*drill.command(archive), DRILL_SLEEP_S=0.2)
    stopped.wait_until(lambda: n_done(archive) >= N_TILES // 4)
    workers = [process for process in stopped.family() if is_worker(process)]
    stopped.interrupt()
    status = stopped.wait()
    left_alive = psutil.wait_procs(workers, timeout=30)[1]
    n_kept = len(list(archive.scratch.rglob("*.parts")))
    again = typed(*drill.command(archive))

    assert status == 130
    lines = [line for line in stopped.stderr.splitlines() if line]
    assert lines[-1] == "tessera: interrupted; the same command goes on from here"
    # Ray may remark that the workers of a command that ends are gone.
    assert all(line.startswith("segment: ") or "(raylet)" in line for line in lines[:-1])
    assert stopped.stdout == ""
    assert workers
    assert left_alive == []
    assert N_TILES // 4 <= n_kept < N_TILES
    assert again.returncode == 0, again.stderr
    assert counts(again.stdout)["skipped"] == n_kept
    assert read_result(archive, digests) == drill.result


def test_a_killed_worker_costs_nothing_but_time(drill, archive, begin, digests):
    run = begin(*drill.command(archive), DRILL_SLEEP_S=0.2)
    run.wait_until(lambda: n_done(archive) >= N_TILES // 3)
    workers = [process for process in run.family() if is_worker(process)]
    workers[0].kill()

    assert run.wait() == 0, run.stderr
    assert workers
    (line,) = run.stdout.splitlines()
    assert counts(line)["tiles"] == N_TILES
    assert read_result(archive, digests) == drill.result
    assert list_quarantine(archive) == []
    assert "Traceback" not in run.stderr


def is_worker(process: psutil.Process) -> bool:
    try:
        return "MapWorker" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_tiles_that_raise_or_kill_end_in_quarantine_and_the_others_are_done(
    drill, archive, tessera, typed, digests
):
    first = tessera(*drill.command(archive), DRILL_BAD_PIXELS="yes")
    after_first = read_result(archive, digests)
    cases = {case.unit: case for case in list_quarantine(archive)}
    second = tessera(*drill.command(archive), DRILL_BAD_PIXELS="yes")
    after_second = read_result(archive, digests)
    third = typed(*drill.command(archive), "--retry-quarantined")

    assert first.returncode == 3, first.stderr
    assert "Traceback" not in first.stderr
    assert counts(first.stdout)["tiles"] == N_TILES
    assert counts(first.stdout)["quarantined"] == 2
    assert cases.keys() == {RAISING_TILE, DEADLY_TILE}
    assert "ValueError: a pixel of 65535" in cases[RAISING_TILE].reason
    assert "its process died" in cases[DEADLY_TILE].reason
    assert cases[RAISING_TILE].attempts == cases[DEADLY_TILE].attempts == 3
    assert 0.9 * len(drill.result.particles) < len(after_first.particles)
    assert second.returncode == 3
    assert counts(second.stdout)["tiles"] == 0
    assert counts(second.stdout)["workers"] == 0
    assert after_second == after_first
    assert third.returncode == 0, third.stderr
    assert counts(third.stdout)["tiles"] == 2
    assert read_result(archive, digests) == drill.result
    assert list_quarantine(archive) == []
