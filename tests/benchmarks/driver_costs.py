"""What the driver pays for a tile in the ledger, in the seam graph, and for a particle.

All is processor time, which is much the same on a busy machine.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from pipelines.archive import Archive, create_archive
from pipelines.digests import digest_json
from pipelines.ledger import Entry, LedgerWriter, ledger_writer
from pipelines.mosaic.tiling import plan_tiles
from pipelines.segmentation.commits import Provenance
from pipelines.segmentation.persistence import SplitRule
from pipelines.segmentation.plan import plan_segmentation
from pipelines.segmentation.run import Run
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.stitching import stitch
from pipelines.segmentation.tile_task import STAGE, TileResult
from pipelines.segmentation.tiles import segment_tile
from pipelines.segmentation.work import TileSegmenter
from tests.benchmarks.particles import draw_block, make_archive
from tests.benchmarks.simulated_tiles import CORE_PX, SimulatedSegmenter

TILE_PX = 64
PATTERN_PX = 512
TILES_PER_MOSAIC = 256


def ledger_us_per_tile(n_tiles: int) -> float:
    """Write so many tiles into a fresh ledger, as fast as it takes them."""
    with tempfile.TemporaryDirectory() as folder:
        writer = LedgerWriter(create_archive(Path(folder) / "a"), every_s=float("inf"))
        seconds = 0.0
        for number in range(n_tiles):
            entry = _entry(number)
            started = time.process_time()
            writer.add(entry)
            seconds += time.process_time() - started
        started = time.process_time()
        writer.flush()
        seconds += time.process_time() - started
    return seconds / n_tiles * 1e6


def seams_us_per_tile(n_tiles: int) -> float:
    """Stitch one mosaic of so many small tiles, each with some fifty particles."""
    edge = round(n_tiles**0.5)
    noise = np.random.default_rng(0).normal(size=(PATTERN_PX, PATTERN_PX)).astype(np.float32)
    smooth = gaussian_filter(noise, 2, mode="wrap")
    pattern = np.clip(smooth * 2000 - 100, 0, 65535).astype(np.uint16)
    repeats = -(-edge * TILE_PX // PATTERN_PX)
    heights = np.tile(pattern, (repeats, repeats))[: edge * TILE_PX, : edge * TILE_PX]
    rule = SplitRule(height=16, fraction=0.2)
    parts = [
        segment_tile(
            heights[tile.window.slices], heights[tile.window.slices], tile, heights.shape, rule
        )
        for tile in plan_tiles(heights.shape, core_px=TILE_PX, halo_px=1)
    ]
    started = time.process_time()
    stitch(parts, heights.shape, rule)
    return (time.process_time() - started) / len(parts) * 1e6


def particle_us_and_tile_s(size_px: int = 8192) -> tuple[float, float]:
    """Segment a drawn mosaic, and one as large without any particles, in this process.

    Returns
    -------
    particle_us : float
        Microseconds of the driver for a particle.
    tile_s : float
        Seconds of a worker for a tile, to segment and to paint it.
    """
    settings = SegmentationSettings()
    with tempfile.TemporaryDirectory() as folder:
        block, _ = draw_block()
        drawn, empty = (make_archive(Path(folder) / name, block, size_px) for name in "ab")
        # Once before, so that nothing is loaded while it is timed.
        _take_all(make_archive(Path(folder) / "c", block, size_px // 2), SimulatedSegmenter())
        without, _, _ = _take_all(empty, SimulatedSegmenter())
        worker = TileSegmenter(asdict(settings), CORE_PX, 256)
        seconds, worked, n_particles = _take_all(drawn, worker)
    return (seconds - without) / n_particles * 1e6, worked / (size_px // CORE_PX) ** 2


def _take_all(
    archive: Archive, worker: Callable[[Any], dict[str, Any]]
) -> tuple[float, float, int]:
    """Do what the flow does, in this process.

    Returns
    -------
    driver_s, worker_s : float
        Seconds of the driver, and of the worker.
    n_particles : int
        How many there are.
    """
    plan = plan_segmentation(archive, ["drawn"], SegmentationSettings(), core_px=CORE_PX)
    run = Run(archive, plan, Provenance(), lambda tile: None)
    seconds = worked = 0.0
    with ledger_writer(archive) as ledger:
        for job in run.jobs():
            row = {"job": 0, "paint": job.paint, **job.tile.task.to_row()}
            started = time.process_time()
            found = worker({name: np.array([value]) for name, value in row.items()})
            worked += time.process_time() - started
            del found["job"]
            result = TileResult(**{name: values[0] for name, values in found.items()})
            started = time.process_time()
            run.take(job, result, ledger)
            seconds += time.process_time() - started
    started = time.process_time()
    run.commits.flush()
    seconds += time.process_time() - started
    n_particles = sum(json.loads(entry.result)["instances"] for entry in run.commits.entries)
    return seconds, worked, n_particles


def _entry(number: int) -> Entry:
    """Return what the ledger would be told of a tile."""
    mosaic, tile = divmod(number, TILES_PER_MOSAIC)
    y, x = (2048 * n for n in divmod(tile, 16))
    return Entry(
        key=digest_json(number),
        stage=STAGE,
        mosaic=f"simulated-{mosaic:05d}",
        unit=f"y{y}-{y + 2048}_x{x}-{x + 2048}",
        seconds=0.1,
        result=json.dumps({"digest": digest_json(-number)}),
        run_id="run",
        code_version="code",
    )
