"""Regions of steepest ascent: a watershed that cutting into tiles cannot change.

Every pixel points at the highest of its eight neighbours and itself, so it needs to know one
ring of pixels around it and nothing else. Following the pointers leads to a peak; the pixels
that lead to the same peak are a region. A path that leaves the core ends at the first pixel
outside, in the core of a neighbour, where it goes on: such pixels are a fragment of a region
that some other tile can name.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.masks import MAX_HEIGHT

#: Bits of a key that hold a position: row * width + column, up to 4 million pixels squared.
POSITION_BITS = 44
LAST_POSITION = (1 << POSITION_BITS) - 1
#: Neighbours later in raster order, as (dy, dx); the order breaks ties between equal saddles.
LATER = ((0, 1), (1, -1), (1, 0), (1, 1))
#: Of equal neighbours the first in raster order wins, and one before a pixel wins over itself:
#: so no path runs in a circle, and none depends on where the window begins.
_UP, _LEVEL, _DOWN = 0b1000, 0b0100, 0b0000
_LEFT, _MIDDLE, _RIGHT = 0b10, 0b01, 0b00
_SELF = _LEVEL | _MIDDLE

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """The regions of one core, and how they meet.

    Attributes
    ----------
    pixels : (n,) int64 array
        Foreground pixels of the core, as indices into the core with a ring of one pixel.
    region : (n,) int64 array
        Which region each belongs to.
    peaks : (r,) int64 array
        Key of each region's peak, or of the last known pixel of a fragment; see `peak_keys`.
    exits : (r,) int64 array
        Position in the mosaic where a fragment goes on; -1 for whole regions.
    edges : (e, 2) int64 array
        Pairs of regions that touch.
    saddles : (e,) int64 array
        Key of the pixel pair where they do; see `saddle_keys`.
    outside : (r,) int64 array
        Key of the highest pixel pair that joins the region to pixels beyond the core; -1 if none.
    """

    pixels: Ints
    region: Ints
    peaks: Ints
    exits: Ints
    edges: Ints
    saddles: Ints
    outside: Ints


def peak_keys(heights: NDArray[Any], positions: Ints) -> Ints:
    """Order peaks by height, and equal ones by position: the first is the highest."""
    return (heights.astype(np.int64) << POSITION_BITS) | (LAST_POSITION - positions)


def saddle_keys(heights: NDArray[Any], positions: Ints, direction: int | Ints) -> Ints:
    """Order pixel pairs by height, then position of their first pixel, then direction.

    The height of a pair is that of its lower pixel; ``direction`` indexes `LATER`.
    """
    return (peak_keys(heights, positions) << 2) | (3 - direction)


def key_height(peaks: Ints) -> Ints:
    """Return the height in a peak's key."""
    return peaks >> POSITION_BITS


def saddle_height(saddles: Ints) -> Ints:
    """Return the height in a saddle's key."""
    return saddles >> (POSITION_BITS + 2)


def find_regions(ringed: NDArray[np.uint16], core: Window, shape: tuple[int, int]) -> Regions:
    """Find the regions of steepest ascent of a core.

    Parameters
    ----------
    ringed : (h + 2, w + 2) array of uint16
        Heights of the core and of a ring of one pixel around it; 0 is background, also beyond
        the mosaic. At most 4095.
    core : Window
        Where the core lies.
    shape : (int, int)
        Height and width of the mosaic.

    Returns
    -------
    regions : Regions
        Those with at least one pixel in the core.
    """
    if ringed.max(initial=0) > MAX_HEIGHT:
        raise ValueError(f"heights must not exceed {MAX_HEIGHT}, got {ringed.max()}")
    pitch = ringed.shape[1]
    flat = ringed.reshape(-1)
    inside = ringed > 0
    inside[[0, -1]] = False
    inside[:, [0, -1]] = False
    pixels, ring = np.flatnonzero(inside), _ring_pixels(ringed)
    n_pixels = len(pixels)
    parents = _parents(ringed, pixels, ring)
    ends = follow(parents)[:n_pixels]

    is_root = np.zeros(len(parents), dtype=np.bool_)
    is_root[ends] = True
    roots = np.flatnonzero(is_root)
    number = np.empty(len(parents), dtype=np.int64)
    number[roots] = np.arange(len(roots))
    region = number.take(ends)

    positions = _Positions(core, shape[1], pitch)
    tops = np.concatenate([pixels, ring])[roots]
    exits = np.where(roots < n_pixels, -1, positions.of(tops))
    # Half the bytes, where they suffice, take half the time.
    owner = np.zeros(flat.shape, dtype=np.uint16 if len(roots) < 65535 else np.int32)
    owner[pixels] = region + 1
    edges, saddles = _meetings(flat, owner, positions)
    outside = _ways_out(flat, ring, owner, len(roots), positions)
    # Whatever else a fragment touches is lower than where it goes on.
    outside[exits >= 0] = np.iinfo(np.int64).max
    peaks = peak_keys(flat[tops], positions.of(tops))
    return Regions(pixels, region, peaks, exits, edges, saddles, outside)


def follow(parents: Ints) -> Ints:
    """Follow pointers to their ends, doubling the step each time."""
    while True:
        further = parents.take(parents)
        if np.array_equal(further, parents):
            return parents
        parents = further


@dataclass(frozen=True)
class _Positions:
    """Turns indices into the ringed core into positions in the mosaic."""

    core: Window
    width: int
    pitch: int

    def of(self, indices: Ints) -> Ints:
        y, x = np.divmod(indices, self.pitch)
        rows, columns = y + (self.core.y0 - 1), x + (self.core.x0 - 1)
        return np.asarray(rows * self.width + columns)


def _parents(ringed: NDArray[np.uint16], pixels: Ints, ring: Ints) -> Ints:
    """Point each pixel at its highest neighbour, as indices into pixels and ring together."""
    # Only entries of foreground pixels are ever read, so the rest need not be set.
    rank = np.empty(ringed.size, dtype=np.int32)
    rank[pixels] = np.arange(len(pixels), dtype=np.int32)
    rank[ring] = np.arange(len(pixels), len(pixels) + len(ring), dtype=np.int32)
    code = _directions(ringed).reshape(-1).take(pixels).astype(np.int64)
    target = _steps(ringed.shape[1]).take(code)
    target += pixels
    parents = np.arange(len(pixels) + len(ring))
    parents[: len(pixels)] = rank.take(target)
    return parents


def _directions(ringed: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Give each core pixel the code of its highest neighbour; the ring points at itself."""
    keys = ringed << 4
    rows = keys[:, 1:-1] | np.uint16(_MIDDLE)
    np.maximum(rows, keys[:, :-2] | np.uint16(_LEFT), out=rows)
    np.maximum(rows, keys[:, 2:] | np.uint16(_RIGHT), out=rows)
    best = rows[1:-1] | np.uint16(_LEVEL)
    np.maximum(best, rows[:-2] | np.uint16(_UP), out=best)
    np.maximum(best, rows[2:] | np.uint16(_DOWN), out=best)
    codes = np.full(ringed.shape, _SELF, dtype=np.uint16)
    np.bitwise_and(best, np.uint16(15), out=codes[1:-1, 1:-1])
    return codes


def _steps(pitch: int) -> Ints:
    """Return how far each direction code moves in the flat ringed core."""
    steps = np.zeros(16, dtype=np.int64)
    for vertical, dy in ((_UP, -1), (_LEVEL, 0), (_DOWN, 1)):
        for horizontal, dx in ((_LEFT, -1), (_MIDDLE, 0), (_RIGHT, 1)):
            steps[vertical | horizontal] = dy * pitch + dx
    return steps


def _ring_pixels(ringed: NDArray[np.uint16]) -> Ints:
    """Return the ring's foreground pixels, as flat indices."""
    height, width = ringed.shape
    x, y = np.arange(width), np.arange(1, height - 1) * width
    ring = np.concatenate([x, y, y + width - 1, x + (height - 1) * width])
    return np.asarray(ring[ringed.reshape(-1)[ring] > 0])


def _meetings(
    flat: NDArray[np.uint16], owner: NDArray[Any], positions: _Positions
) -> tuple[Ints, Ints]:
    """Find the pairs of neighbouring pixels of the core that belong to two regions."""
    edges, saddles = [], []
    for direction, (dy, dx) in enumerate(LATER):
        offset = dy * positions.pitch + dx
        # The ring has no owner here: those pairs are found where the neighbours meet.
        one, other = owner[:-offset], owner[offset:]
        met = np.not_equal(one, other)
        met &= np.minimum(one, other) > 0
        first = np.flatnonzero(met)
        height = np.minimum(flat[first], flat[first + offset])
        edges.append(np.stack([owner[first], owner[first + offset]], axis=1).astype(np.int64) - 1)
        saddles.append(saddle_keys(height, positions.of(first), direction))
    return np.concatenate(edges), np.concatenate(saddles)


def _ways_out(
    flat: NDArray[np.uint16],
    ring: Ints,
    owner: NDArray[Any],
    n_regions: int,
    positions: _Positions,
) -> Ints:
    """Find the highest pixel pair that joins each region to the ring."""
    outside = np.full(n_regions, -1, dtype=np.int64)
    for direction, (dy, dx) in enumerate(LATER):
        offset = dy * positions.pitch + dx
        for inner, first_is_inner in ((ring + offset, False), (ring - offset, True)):
            # The ring lies at the array's edge, so some of these leave it; no core pixel does.
            there = np.flatnonzero((inner >= 0) & (inner < len(flat)))
            there = there[owner[inner[there]] > 0]
            first = (inner if first_is_inner else ring)[there]
            height = np.minimum(flat[ring[there]], flat[inner[there]])
            keys = saddle_keys(height, positions.of(first), direction)
            np.maximum.at(outside, owner[inner[there]].astype(np.int64) - 1, keys)
    return outside
