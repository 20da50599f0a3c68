from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.mosaic.tiling import plan_tiles
from pipelines.segmentation.painting import paint
from pipelines.segmentation.persistence import SplitRule
from pipelines.segmentation.stitching import Particles, stitch
from pipelines.segmentation.tiles import segment_tile

RULE = SplitRule(height=16, fraction=0.2)
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
