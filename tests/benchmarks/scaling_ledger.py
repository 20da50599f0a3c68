"""What a tile costs in the ledger, and in the seam graph of one mosaic: processor seconds."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from pipelines.archive import create_archive
from pipelines.digests import digest_json
from pipelines.ledger import Entry, LedgerWriter
from pipelines.mosaic.tiling import plan_tiles
from pipelines.segmentation.persistence import SplitRule
from pipelines.segmentation.stitching import stitch
from pipelines.segmentation.tile_task import STAGE
from pipelines.segmentation.tiles import segment_tile

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
