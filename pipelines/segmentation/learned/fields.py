"""What the network says of every pixel of a window, whichever window it is.

A mosaic at the working scale is covered by overlapping blocks of one shape, on a grid that the
mosaic's size decides alone. A block is cut, resampled and normalised from its own pixels, and
goes through the network as every other, so its fields are the same whoever asks. Where blocks
overlap they are averaged, in raster order of the blocks, with weights that fall to nothing at
a block's edge. So on one machine a pixel's fields depend on the mosaic alone, to the last bit.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.learned.normalisation import Normalisation

#: Edge of a block and what neighbours share of it, in working pixels. Larger blocks waste less on
#: overlap, and make tiles read further.
BLOCK_PX, OVERLAP_PX = 256, 48
#: Blocks begin so far outside the mosaic: a network sees worst at its edge.
_OUTSIDE_PX = 16

Floats = NDArray[np.float32]
#: (N, B, B) normalised blocks to (N, C, B, B) fields.
Predict = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Block:
    """One block: where it begins at the working scale, and its place along both axes."""

    y0: int
    x0: int
    row: int
    column: int


@dataclass(frozen=True)
class Grid:
    """The blocks of one mosaic.

    Attributes
    ----------
    shape : (int, int)
        The mosaic, in its own pixels.
    factor : float
        Working pixels per pixel of the mosaic, at most a few.
    block_px, overlap_px : int
        In working pixels.
    """

    shape: tuple[int, int]
    factor: float
    block_px: int = BLOCK_PX
    overlap_px: int = OVERLAP_PX

    @property
    def shrink(self) -> int:
        """By what whole number pixels are averaged before the rest of the resampling."""
        return max(1, math.floor(1 / self.factor + 1e-9))

    def reach_px(self, further_px: int = 0) -> int:
        """Return how far a pixel's fields may depend on others, in pixels of the mosaic.

        Parameters
        ----------
        further_px : int
            How far what is made of the fields looks beyond, in working pixels.
        """
        working_px = self.block_px + 2 + further_px
        return math.ceil(working_px / self.factor) + 3 * self.shrink + 2

    def starts(self, axis: int) -> list[int]:
        """Return where the blocks begin along an axis, in working pixels, evenly spread."""
        span = math.ceil(self.shape[axis] * self.factor) + 2 * _OUTSIDE_PX - self.block_px
        if span <= 0:
            return [-_OUTSIDE_PX]
        n = 1 + math.ceil(span / (self.block_px - self.overlap_px))
        return [i * span // (n - 1) - _OUTSIDE_PX for i in range(n)]

    def weights(self, axis: int) -> Floats:
        """Return the weight of every pixel of every block along an axis: (n, block_px)."""
        starts = np.array(self.starts(axis))
        steps = np.arange(self.block_px)
        nearest = np.minimum(steps, steps[::-1]) + 0.5
        # A smooth ramp: what is half a pixel from the edge counts almost nothing.
        ramp = np.sin(np.pi / 2 * np.minimum(nearest / self.overlap_px, 1.0)) ** 2
        total = np.zeros(int(starts[-1] - starts[0]) + self.block_px)
        for start in starts - starts[0]:
            total[start : start + self.block_px] += ramp
        rows = [ramp / total[s : s + self.block_px] for s in starts - starts[0]]
        return np.asarray(rows, dtype=np.float32)

    def source(self, block: Block) -> Window:
        """Return the pixels that a block is made of, which may lie beyond the mosaic."""
        k = self.shrink
        sides = []
        for start in (block.y0, block.x0):
            low = math.floor(start / self.factor) - k
            high = math.ceil((start + self.block_px) / self.factor) + k
            sides.append((math.floor(low / k) * k, math.ceil(high / k) * k))
        (y0, y1), (x0, x1) = sides
        return Window(y0, x0, y1, x1)

    def blocks_within(self, window: Window) -> list[Block]:
        """List the blocks all of whose pixels lie in the window or beyond the mosaic."""
        height, width = self.shape
        inside = []
        for row, y0 in enumerate(self.starts(0)):
            for column, x0 in enumerate(self.starts(1)):
                block = Block(y0, x0, row, column)
                s = self.source(block)
                if (
                    max(s.y0, 0) >= window.y0
                    and max(s.x0, 0) >= window.x0
                    and min(s.y1, height) <= window.y1
                    and min(s.x1, width) <= window.x1
                ):
                    inside.append(block)
        return inside

    def cut(
        self, image: NDArray[Any], window: Window, block: Block, levels: Normalisation
    ) -> Floats:
        """Cut a block out of a window that holds it: normalised, at the working scale."""
        s = self.source(block)
        height, width = self.shape
        y0, x0, y1, x1 = max(s.y0, 0), max(s.x0, 0), min(s.y1, height), min(s.x1, width)
        part = image[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0]
        grey = levels.apply(part)
        if grey.shape != s.shape:
            beyond = ((y0 - s.y0, s.y1 - y1), (x0 - s.x0, s.x1 - x1))
            grey = np.pad(grey, beyond, mode="reflect" if min(grey.shape) > 1 else "edge")
        k = self.shrink
        if k > 1:
            size = (grey.shape[1] // k, grey.shape[0] // k)
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        step = 1 / (self.factor * k)
        # Pixel centres: working pixel i lies at (i + 1/2) / factor - 1/2 of the mosaic.
        shift = [
            (start + 0.5) / (self.factor * k) - 0.5 - origin / k
            for start, origin in ((block.x0, s.x0), (block.y0, s.y0))
        ]
        to_source = np.array([[step, 0, shift[0]], [0, step, shift[1]]])
        cut: Floats = cv2.warpAffine(
            grey,
            to_source,
            (self.block_px, self.block_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return cut


@dataclass(frozen=True)
class Canvas:
    """Fields over a part of the mosaic, at the working scale.

    Attributes
    ----------
    grid : Grid
        The grid they lie on.
    y0, x0 : int
        Where ``fields`` begin, in working pixels.
    fields : (C, h, w) float32 array
        Right wherever all blocks that cover a pixel were there.
    """

    grid: Grid
    y0: int
    x0: int
    fields: Floats

    def over(self, window: Window) -> Floats:
        """Return the fields of the window's own pixels: (C, h, w)."""
        rows = _Between(window.y0, window.y1, self.grid.factor, self.y0, self.fields.shape[1])
        columns = _Between(window.x0, window.x1, self.grid.factor, self.x0, self.fields.shape[2])
        return np.stack([columns.along(rows.along(field).T).T for field in self.fields])


class _Between:
    """Linear interpolation along an axis, pixel by pixel: alike in every window."""

    def __init__(self, start: int, stop: int, factor: float, origin: int, n: int) -> None:
        at = (np.arange(start, stop) + 0.5) * factor - 0.5
        # The share is taken before the origin goes off: it must not depend on where that is.
        below = np.floor(at)
        self.share = (at - below).astype(np.float32)[:, None]
        self.low = np.clip(below.astype(np.intp) - origin, 0, n - 1)
        self.high = np.clip(self.low + 1, 0, n - 1)

    def along(self, field: Floats) -> Floats:
        low = field[self.low]
        return np.asarray(low + (field[self.high] - low) * self.share, dtype=np.float32)


def collect(grid: Grid, predicted: Iterator[tuple[Block, Floats]]) -> Canvas | None:
    """Average the fields of blocks, which must come in raster order; None if there are none."""
    known = list(predicted)
    if not known:
        return None
    y0 = min(block.y0 for block, _ in known)
    x0 = min(block.x0 for block, _ in known)
    y1 = max(block.y0 for block, _ in known) + grid.block_px
    x1 = max(block.x0 for block, _ in known) + grid.block_px
    canvas = np.zeros((known[0][1].shape[0], y1 - y0, x1 - x0), dtype=np.float32)
    down, right = grid.weights(0), grid.weights(1)
    for block, fields in known:
        weight = down[block.row][:, None] * right[block.column]
        y, x = block.y0 - y0, block.x0 - x0
        canvas[:, y : y + grid.block_px, x : x + grid.block_px] += fields * weight
    return Canvas(grid, y0, x0, canvas)


def predict_window(
    image: NDArray[Any],
    window: Window,
    grid: Grid,
    levels: Normalisation,
    predict: Predict,
    *,
    batch_n_blocks: int = 1,
) -> Canvas | None:
    """Predict the fields of all blocks that lie in a window.

    Parameters
    ----------
    image : (h, w) array
        The window's grey values.
    window : Window
        Where it lies.
    grid : Grid
        The mosaic's blocks.
    levels : Normalisation
        The mosaic's grey levels.
    predict : callable
        The network, on ``batch_n_blocks`` blocks at a time: always as many, the last filled up
        with nothing, because libraries may compute otherwise in batches of other sizes.
    batch_n_blocks : int
        Blocks at a time.
    """
    blocks = grid.blocks_within(window)

    def each() -> Iterator[tuple[Block, Floats]]:
        for start in range(0, len(blocks), batch_n_blocks):
            some = blocks[start : start + batch_n_blocks]
            batch = np.zeros((batch_n_blocks, grid.block_px, grid.block_px), dtype=np.float32)
            for place, block in enumerate(some):
                batch[place] = grid.cut(image, window, block, levels)
            yield from zip(some, predict(batch), strict=False)

    return collect(grid, each())
