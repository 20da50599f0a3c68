import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.archive import Archive, create_archive
from pipelines.ledger import read_entries
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.tables import read_rows
from tests.nodes import Nodes, start_nodes

#: Otsu's method, slow as long as a file says so.
METHOD = """
import time
from pathlib import Path
from pipelines.segmentation.methods.otsu import Otsu

class Slow(Otsu):
    def heights(self, image, window, survey, settings):
        if Path(__file__).with_name("slow").exists():
            time.sleep(0.5)
        return super().heights(image, window, survey, settings)

SLOW = Slow()
"""


@dataclass
class Drill:
    """A mosaic of discs, a method that can be slow, and what both give on one machine."""

    folder: Path
    digests: Callable[[Path], dict[str, str]]
    n_tiles: int = 64
    result: Any = field(default=None)

    def command(self, archive: Archive) -> list[str]:
        method = f"{self.folder / 'method.py'}:SLOW"
        return f"segment --archive {archive.root} --method {method} --core-px 128".split()

    def be_slow(self) -> None:
        (self.folder / "slow").touch()

    def be_quick(self) -> None:
        (self.folder / "slow").unlink()

    def n_done(self, archive: Archive) -> int:
        return len(read_entries(archive, "segment", status="done"))

    def read(self, archive: Archive) -> Any:
        """Read what segmenting gave: every byte of the instances, every row of the particles."""
        particles = read_rows(archive, "particles").sort_by("particle_id").to_pylist()
        return self.digests(archive.mosaic("discs") / "labels" / "instances"), particles


@pytest.fixture(scope="session")
def whole_cluster(own_home: Path) -> Iterator[Nodes]:
    """A head that works for nobody and two workers of one processor each."""
    with start_nodes() as nodes:
        yield nodes


@pytest.fixture
def nodes(whole_cluster: Nodes) -> Nodes:
    """The cluster, with a worker in the place of one that a test took away."""
    while len(whole_cluster.workers) < 2:
        whole_cluster.add_worker()
    return whole_cluster


@pytest.fixture
def submit(nodes):
    """Make a command line that submits another, and the environment that it needs."""

    def submit(run, *words: object, **environment: object):
        more = nodes.environment() | environment
        return run("submit", "--address", nodes.dashboard, *words, **more)

    return submit


@pytest.fixture(scope="session")
def drill(tessera, digests, tmp_path_factory) -> Drill:
    folder = tmp_path_factory.mktemp("drill")
    (folder / "method.py").write_text(METHOD)
    archive = create_archive(folder / "undisturbed")
    write_mosaic(archive.mosaic("discs"), draw_discs(), pixel_size_nm=1.5)
    shutil.copytree(archive.root, folder / "fresh")
    drill = Drill(folder, digests)

    done = tessera(*drill.command(archive), "--workers", 1)

    assert done.returncode == 0, done.stderr
    drill.result = drill.read(archive)
    return drill


@pytest.fixture
def archive(drill, tmp_path) -> Archive:
    """An archive with the mosaic, not segmented yet."""
    shutil.copytree(drill.folder / "fresh", tmp_path / "archive")
    return Archive(tmp_path / "archive")


def draw_discs():
    rng = np.random.default_rng(6)
    image = rng.normal(800, 25, (1024, 1024))
    for y, x, radius in zip(
        *rng.integers(6, 1018, (2, 300)), rng.integers(6, 15, 300), strict=True
    ):
        cv2.circle(image, (int(x), int(y)), int(radius), 1600.0, thickness=-1)
    return np.clip(image, 0, 4000).astype("uint16")


@pytest.fixture
def counts() -> Callable[[str], dict[str, int]]:
    """Read the whole numbers of a line of key=value."""
    return lambda line: {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)\b", line)}
