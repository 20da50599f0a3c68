"""The first pass over one tile: from heights to segments, sums and what is left open."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Tile, Window
from pipelines.segmentation.parts import ADDED, GREATEST, LEAST, N_SUMS, Sum, TileParts
from pipelines.segmentation.persistence import Merged, SplitRule, merge_regions
from pipelines.segmentation.regions import Ints, find_regions


def segment_tile(
    heights: NDArray[np.uint16],
    image: NDArray[Any],
    tile: Tile,
    shape: tuple[int, int],
    rule: SplitRule,
) -> TileParts:
    """Find the segments of a tile's core.

    Parameters
    ----------
    heights : (h, w) array of uint16
        Heights over the tile's window, 0 for background; right on the core and one pixel
        around it.
    image : (h, w) array of uint8 or uint16
        Grey values over the window.
    tile : Tile
        Core and window.
    shape : (int, int)
        Height and width of the mosaic.
    rule : SplitRule
        When peaks stay apart.
    """
    core = tile.core
    ringed = _with_ring(heights, tile)
    if not ringed.any():
        return TileParts.empty(core)
    regions = find_regions(ringed, core, shape)
    if len(regions.pixels) == 0:
        return TileParts.empty(core)
    merged = merge_regions(
        regions.peaks, regions.edges, regions.saddles, rule=rule, outside=regions.outside
    )
    segments = merged.segment[regions.region]
    grey = _with_ring(image, tile).reshape(-1).take(regions.pixels)
    starts = _run_starts(regions.pixels, segments)
    runs = _Runs(regions.pixels, segments, starts, core, ringed.shape[1])
    faces = _faces(ringed, regions.pixels, segments, core, shape)
    left = np.flatnonzero(regions.exits >= 0)
    return TileParts(
        core=core,
        run_starts=runs.core_index.astype(np.int32),
        run_lengths=runs.lengths.astype(np.int32),
        run_segments=runs.segments.astype(np.int32),
        sums=_sums(runs, grey, merged.n_segments, shape[1]),
        segment_body=_segment_bodies(merged),
        body_peaks=merged.body_peaks,
        edges=merged.segment[regions.edges[merged.waiting]].astype(np.int32),
        saddles=regions.saddles[merged.waiting],
        exit_segments=merged.segment[left].astype(np.int32),
        exit_positions=regions.exits[left],
        face_positions=faces[0],
        face_segments=faces[1].astype(np.int32),
        face_heights=faces[2],
        n_uncertain=merged.n_uncertain,
    )


def _with_ring(image: NDArray[Any], tile: Tile) -> NDArray[Any]:
    """Cut the core out of its window with one pixel around it; zeros beyond the mosaic."""
    height, width = tile.core.shape
    ringed = np.zeros((height + 2, width + 2), dtype=image.dtype)
    top, left = tile.core.y0 - tile.window.y0, tile.core.x0 - tile.window.x0
    y0, x0 = max(0, top - 1), max(0, left - 1)
    part = image[y0 : top + height + 1, x0 : left + width + 1]
    ringed[y0 - top + 1 :, x0 - left + 1 :][: part.shape[0], : part.shape[1]] = part
    return ringed


def _run_starts(pixels: Ints, segments: Ints) -> Ints:
    """Find where runs of one segment along a row begin; the ring parts one row from the next."""
    breaks = np.empty(len(pixels), dtype=np.bool_)
    breaks[0] = True
    np.not_equal(segments[1:], segments[:-1], out=breaks[1:])
    breaks[1:] |= np.diff(pixels) != 1
    return np.flatnonzero(breaks)


class _Runs:
    """Runs of one segment along a row."""

    def __init__(
        self, pixels: Ints, segments: Ints, starts: Ints, core: Window, pitch: int
    ) -> None:
        self.starts = starts
        self.lengths = np.diff(np.append(starts, len(pixels)))
        self.segments = segments[starts]
        y, x = np.divmod(pixels[starts], pitch)
        self.y, self.x = y - 1, x - 1
        self.core = core
        self.core_index = self.y * core.shape[1] + self.x


def _sums(runs: _Runs, grey: NDArray[Any], n_segments: int, width: int) -> Ints:
    """Add up each segment's pixels, run by run: integers, so in any order."""
    n, y, x, core = runs.lengths, runs.y, runs.x, runs.core
    last = x + n - 1
    sum_x = (x + last) * n // 2
    squares = last * (last + 1) * (2 * last + 1) // 6 - (x - 1) * x * (2 * x - 1) // 6
    wide: NDArray[Any] = grey.astype(np.uint32 if grey.itemsize == 1 else np.uint64)
    per_run = np.empty((len(n), N_SUMS), dtype=np.int64)
    for column, values in {
        Sum.AREA: n,
        Sum.Y: n * y,
        Sum.X: sum_x,
        Sum.YY: n * y * y,
        Sum.XX: squares,
        Sum.XY: y * sum_x,
        Sum.GREY: np.add.reduceat(wide, runs.starts),
        Sum.GREY_SQUARED: np.add.reduceat(wide * wide, runs.starts),
        Sum.FIRST: (y + core.y0) * width + x + core.x0,
        Sum.MIN_Y: y + core.y0,
        Sum.MIN_X: x + core.x0,
        Sum.MIN_GREY: np.minimum.reduceat(grey, runs.starts),
        Sum.MAX_Y: y + core.y0,
        Sum.MAX_X: last + core.x0,
        Sum.MAX_GREY: np.maximum.reduceat(grey, runs.starts),
    }.items():
        per_run[:, column] = values
    return add_up(per_run, runs.segments, n_segments)


def add_up(rows: Ints, groups: Ints, n_groups: int) -> Ints:
    """Combine rows of sums by group; every group must have a row."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(n_groups))
    rows = rows[order]
    sums = np.empty((n_groups, N_SUMS), dtype=np.int64)
    if n_groups:
        np.add.reduceat(rows[:, ADDED], starts, axis=0, out=sums[:, ADDED])
        np.minimum.reduceat(rows[:, LEAST], starts, axis=0, out=sums[:, LEAST])
        np.maximum.reduceat(rows[:, GREATEST], starts, axis=0, out=sums[:, GREATEST])
    return sums


def _segment_bodies(merged: Merged) -> NDArray[np.int32]:
    bodies = np.empty(merged.n_segments, dtype=np.int32)
    bodies[merged.segment] = merged.body
    return bodies


def _faces(
    ringed: NDArray[np.uint16], pixels: Ints, segments: Ints, core: Window, shape: tuple[int, int]
) -> tuple[Ints, Ints, NDArray[np.uint16]]:
    """Return position, segment and height of the pixels that other cores are next to."""
    height, width = core.shape
    y, x = np.arange(height), np.arange(width)
    sides = [
        (np.zeros_like(x), x, core.y0 > 0),
        (np.full_like(x, height - 1), x, core.y1 < shape[0]),
        (y, np.zeros_like(y), core.x0 > 0),
        (y, np.full_like(y, width - 1), core.x1 < shape[1]),
    ]
    pitch = ringed.shape[1]
    # Corners lie on two sides and count once.
    index = np.unique(
        np.concatenate(
            [
                np.empty(0, np.int64),
                *((sy + 1) * pitch + sx + 1 for sy, sx, is_seam in sides if is_seam),
            ]
        )
    )
    heights = ringed.reshape(-1)[index]
    index, heights = index[heights > 0], heights[heights > 0]
    found = segments[np.searchsorted(pixels, index)]
    py, px = np.divmod(index, pitch)
    return (py - 1 + core.y0) * shape[1] + px - 1 + core.x0, found, heights
