"""Put rendered tiles together into the larger blocks that storage wants."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window


@dataclass
class _Open:
    """A block that tiles are still missing from."""

    grey: NDArray[np.uint8]
    instances: NDArray[np.uint32]
    missing_px: int


def gather(
    tiles: Iterable[tuple[Window, NDArray[np.uint8], NDArray[np.uint32]]],
    *,
    size_px: int,
    block_px: int,
) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.uint32]]]:
    """Yield each block once its last tile has come.

    Parameters
    ----------
    tiles : iterable of (Window, (H, W) array of uint8, (H, W) array of uint32)
        A partition of the mosaic: place, pixels, instances. Where they come block by block, few
        blocks are in memory at once.
    size_px : int
        Edge of the square mosaic, in pixels.
    block_px : int
        Edge of a block, in pixels; the last row and column may be smaller.
    """
    blocks: dict[tuple[int, int], _Open] = {}
    for window, grey, instances in tiles:
        for y0 in range(window.y0 // block_px * block_px, window.y1, block_px):
            for x0 in range(window.x0 // block_px * block_px, window.x1, block_px):
                place = Window(y0, x0, min(y0 + block_px, size_px), min(x0 + block_px, size_px))
                if (y0, x0) not in blocks:
                    blocks[y0, x0] = _Open(
                        np.zeros(place.shape, dtype=np.uint8),
                        np.zeros(place.shape, dtype=np.uint32),
                        place.shape[0] * place.shape[1],
                    )
                block = blocks[y0, x0]
                shared = _shared(place, window)
                into, outof = _within(shared, place), _within(shared, window)
                block.grey[into] = grey[outof]
                block.instances[into] = instances[outof]
                block.missing_px -= shared.shape[0] * shared.shape[1]
                if block.missing_px == 0:
                    del blocks[y0, x0]
                    yield place, block.grey, block.instances


def _shared(a: Window, b: Window) -> Window:
    return Window(max(a.y0, b.y0), max(a.x0, b.x0), min(a.y1, b.y1), min(a.x1, b.x1))


def _within(window: Window, whole: Window) -> tuple[slice, slice]:
    return (
        slice(window.y0 - whole.y0, window.y1 - whole.y0),
        slice(window.x0 - whole.x0, window.x1 - whole.x0),
    )
