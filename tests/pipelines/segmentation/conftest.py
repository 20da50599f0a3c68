from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.archive import Archive, create_archive
from pipelines.ledger import Entry, ledger_writer
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.mosaic.tiling import plan_tiles
from pipelines.segmentation.commits import Provenance
from pipelines.segmentation.painting import paint
from pipelines.segmentation.persistence import SplitRule
from pipelines.segmentation.plan import SegmentationPlan, plan_segmentation
from pipelines.segmentation.run import Job, Run
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.stitching import Particles, stitch
from pipelines.segmentation.tile_task import TileResult
from pipelines.segmentation.tiles import segment_tile
from pipelines.segmentation.work import TileSegmenter

RULE = SplitRule(height=16, fraction=0.2)
SETTINGS = SegmentationSettings(fill_holes_px=4, max_radius_px=12, flatten_px=0)
POISON = Path(__file__).with_name("poison.py")
Heights = Callable[[NDArray[Any], Any], NDArray[np.uint16]]


def segment_in_tiles(
    image: NDArray[Any],
    heights: Heights,
    *,
    core_px: int,
    halo_px: int,
    rule: SplitRule = RULE,
    order: Iterable[int] | None = None,
) -> tuple[NDArray[np.uint32], Particles]:
    """Both passes over all tiles, each alone, in any order, without Ray or files."""
    shape = image.shape
    tiles = plan_tiles(shape, core_px=core_px, halo_px=halo_px)
    tiles = [tiles[i] for i in order] if order is not None else tiles
    parts = []
    for tile in tiles:
        window = image[tile.window.slices]
        parts.append(segment_tile(heights(window, tile.window), window, tile, shape, rule))
    particles = stitch(parts, shape, rule)
    ids = np.arange(1, len(particles) + 1, dtype=np.uint32)
    instances = np.zeros(shape, dtype=np.uint32)
    for tile, found, segments in zip(tiles, parts, particles.segments, strict=True):
        instances[tile.core.slices] = paint(found, ids[segments])
    return instances, particles


@pytest.fixture(scope="session")
def in_tiles() -> Callable[..., tuple[NDArray[np.uint32], Particles]]:
    return segment_in_tiles


@pytest.fixture(scope="session")
def rule() -> SplitRule:
    return RULE


def draw_discs(shape: tuple[int, int], *, pitch_px: int = 30, radius_px: float = 9) -> NDArray[Any]:
    """Bright discs on a grid over a dark background, with noise; every third touches the next."""
    rng = np.random.default_rng(7)
    image = rng.normal(60, 4, shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for row, centre_y in enumerate(range(pitch_px // 2, shape[0], pitch_px)):
        for column, centre_x in enumerate(range(pitch_px // 2, shape[1], pitch_px)):
            shift = pitch_px - 1.85 * radius_px if column % 3 == 1 else 0.0
            away = (y - centre_y) ** 2 + (x - centre_x + shift) ** 2
            image[away <= radius_px**2] += 80 + 5 * (row % 3)
    return np.clip(np.rint(image), 0, 250).astype(np.uint8)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return create_archive(tmp_path / "archive")


def add_mosaic(
    archive: Archive, name: str, image: NDArray[Any], pixel_size_nm: float | None = 2.0
) -> None:
    write_mosaic(archive.mosaic(name), image, pixel_size_nm=pixel_size_nm)


def begin_run(archive: Archive, plan: SegmentationPlan) -> Run:
    return Run(archive, plan, Provenance("run", "code"), lambda tile: None)


def work_on(plan: SegmentationPlan, job: Job, worker: TileSegmenter | None = None) -> TileResult:
    """What an actor makes of a job."""
    worker = worker or TileSegmenter(asdict(plan.settings), plan.core_px, plan.halo_px)
    row = {"job": 0, "paint": job.paint, **job.tile.task.to_row()}
    found = worker({name: np.array([value]) for name, value in row.items()})
    del found["job"]
    return TileResult(**{name: values[0] for name, values in found.items()})


def segment_here(
    archive: Archive,
    settings: SegmentationSettings | None = None,
    *,
    stop_after: int | None = None,
    at_once: int | None = None,
    **options: Any,
) -> tuple[list[Entry], int]:
    """What the flow does, in this process; return the mosaics' entries and the tiles segmented."""
    plan = plan_segmentation(
        archive, archive.mosaic_names(), settings or SETTINGS, **{"core_px": 64, **options}
    )
    run = begin_run(archive, plan)
    worker = TileSegmenter(asdict(plan.settings), plan.core_px, plan.halo_px)
    n_segmented = 0
    with ledger_writer(archive) as ledger:
        while jobs := run.jobs(at_once):
            for job in jobs:
                run.take(job, work_on(plan, job, worker), ledger)
                n_segmented += not job.paint
                if n_segmented == stop_after:
                    return [], n_segmented
    run.commits.flush()
    return [*plan.finished, *run.commits.entries], n_segmented


def instance_bytes(archive: Archive, name: str) -> dict[str, bytes]:
    root = archive.mosaic(name) / "labels" / "instances"
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def here() -> SimpleNamespace:
    """Everything to make, segment and look at small archives, without Ray."""
    return SimpleNamespace(
        add_mosaic=add_mosaic,
        draw_discs=draw_discs,
        instance_bytes=instance_bytes,
        run=begin_run,
        segment=segment_here,
        work=work_on,
        settings=SETTINGS,
        poison=f"{POISON}:METHOD",
    )
