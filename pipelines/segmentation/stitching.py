"""The parts of a mosaic's tiles become particles: exactly what one tile would have found.

Fragments of a region are joined where they go on; segments on both sides of a seam meet at the
saddles of the pixels along it; then the merging that the tiles began is finished by the same
rule. Only the pixels along seams are looked at, all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.parts import N_SUMS, Sum, TileParts
from pipelines.segmentation.persistence import SplitRule, connected, merge_regions
from pipelines.segmentation.regions import LATER, Ints, saddle_keys
from pipelines.segmentation.tiles import add_up


@dataclass(frozen=True)
class Particles:
    """All particles of a mosaic, in raster order of their first pixels.

    Attributes
    ----------
    sums : (n, 15) int64 array
        Measurements with columns `parts.Sum`; Y to XY are relative to (MIN_Y, MIN_X).
    crosses_seam, touches_gap : (n,) bool arrays
        Whether a particle lies in several tiles, and whether it touches a missing one.
    segments : tuple of (s,) int64 arrays
        For each tile, the particle of each of its segments: 0 to n - 1.
    n_links : int
        Pairs of segments that were found to be one across a seam.
    n_uncertain : int
        Merging decisions close to the limit.
    """

    sums: Ints
    crosses_seam: NDArray[np.bool_]
    touches_gap: NDArray[np.bool_]
    segments: tuple[Ints, ...]
    n_links: int
    n_uncertain: int

    def __len__(self) -> int:
        return len(self.sums)


def stitch(
    tiles: Sequence[TileParts],
    shape: tuple[int, int],
    rule: SplitRule,
    *,
    gaps: Sequence[Window] = (),
) -> Particles:
    """Join the segments of all tiles to particles.

    Parameters
    ----------
    tiles : sequence of TileParts
        Whose cores are disjoint, in any order.
    shape : (int, int)
        Height and width of the mosaic.
    rule : SplitRule
        The one that the tiles used.
    gaps : sequence of Window
        Cores that could not be segmented: background with an edge like the mosaic's.
    """
    first_segment = _offsets([tile.n_segments for tile in tiles])
    first_body = _offsets([len(tile.body_peaks) for tile in tiles])
    n_segments = int(first_segment[-1])
    tile_of = np.repeat(np.arange(len(tiles)), np.diff(first_segment))
    body_of = _joined([t.segment_body + b for t, b in zip(tiles, first_body, strict=False)])
    faces = _Faces.of(tiles, first_segment)

    # A fragment and the segment where it goes on are one, whatever their peaks.
    exits = _joined([t.exit_positions for t in tiles])
    leaving = _joined([t.exit_segments + s for t, s in zip(tiles, first_segment, strict=False)])
    entered = faces.find(exits)
    known = entered >= 0
    leaving, entered = leaving[known], faces.segments[entered[known]]
    segment = connected(n_segments, leaving, entered)
    body = connected(int(first_body[-1]), body_of[leaving], body_of[entered])
    peaks = np.zeros(int(body.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(peaks, body, _joined([t.body_peaks for t in tiles]))
    # One body may hold several segments; those meet others by the body's peak.
    segment_body = np.zeros(int(segment.max(initial=-1)) + 1, dtype=np.int64)
    segment_body[segment] = body[body_of]

    seam_edges, seam_saddles = faces.meetings(shape, tile_of)
    inner = [t.edges + s for t, s in zip(tiles, first_segment, strict=False)]
    edges = segment[np.concatenate([*inner, seam_edges])]
    saddles = np.concatenate([*(t.saddles for t in tiles), seam_saddles])
    merged = merge_regions(peaks, edges, saddles, rule=rule, bodies=segment_body)
    particle = merged.segment[segment]

    sums = add_up(_in_mosaic(tiles, first_segment, particle), particle, merged.n_segments)
    order = np.argsort(sums[:, Sum.FIRST], kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    particle = rank[particle]
    pieces = np.unique(particle * len(tiles) + tile_of) // max(len(tiles), 1)
    in_tiles = np.bincount(pieces, minlength=len(order))
    touches_gap = np.zeros(len(order), dtype=np.bool_)
    touches_gap[particle[faces.segments[faces.near(gaps, shape)]]] = True
    return Particles(
        sums=sums[order],
        crosses_seam=in_tiles > 1,
        touches_gap=touches_gap,
        segments=tuple(np.split(particle, first_segment[1:-1])) if tiles else (),
        n_links=int(in_tiles.sum()) - len(order),
        n_uncertain=merged.n_uncertain + sum(tile.n_uncertain for tile in tiles),
    )


@dataclass(frozen=True)
class _Faces:
    """Foreground pixels along seams, sorted by position."""

    positions: Ints
    segments: Ints
    heights: NDArray[np.uint16]

    @classmethod
    def of(cls, tiles: Sequence[TileParts], first_segment: Ints) -> "_Faces":
        positions = _joined([tile.face_positions for tile in tiles])
        order = np.argsort(positions, kind="stable")
        segments = [t.face_segments + s for t, s in zip(tiles, first_segment, strict=False)]
        heights = np.concatenate([np.empty(0, np.uint16), *(t.face_heights for t in tiles)])
        return cls(positions[order], _joined(segments)[order], heights[order])

    def find(self, positions: Ints) -> Ints:
        """Return the index of each position; -1 where there is no such pixel."""
        if len(self.positions) == 0:
            return np.full(len(positions), -1)
        index = np.minimum(np.searchsorted(self.positions, positions), len(self.positions) - 1)
        return np.where(self.positions[index] == positions, index, -1)

    def meetings(self, shape: tuple[int, int], tile_of: Ints) -> tuple[Ints, Ints]:
        """Find the pairs of neighbouring pixels in two tiles."""
        x = self.positions % shape[1]
        edges, saddles = [], []
        for direction, (dy, dx) in enumerate(LATER):
            other = self.find(self.positions + dy * shape[1] + dx)
            # A step off the mosaic's side would come back at the other.
            met = np.flatnonzero((other >= 0) & (x + dx >= 0) & (x + dx < shape[1]))
            other = other[met]
            apart = tile_of[self.segments[met]] != tile_of[self.segments[other]]
            met, other = met[apart], other[apart]
            height = np.minimum(self.heights[met], self.heights[other])
            edges.append(np.stack([self.segments[met], self.segments[other]], axis=1))
            saddles.append(saddle_keys(height, self.positions[met], direction))
        return np.concatenate(edges), np.concatenate(saddles)

    def near(self, gaps: Sequence[Window], shape: tuple[int, int]) -> Ints:
        """Return the pixels next to any of the gaps."""
        y, x = np.divmod(self.positions, shape[1])
        found = np.zeros(len(y), dtype=np.bool_)
        for gap in gaps:
            y0, x0, y1, x1 = gap.grown(1, shape)
            found |= (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        return np.flatnonzero(found)


def _in_mosaic(tiles: Sequence[TileParts], first_segment: Ints, particle: Ints) -> Ints:
    """Return all tiles' sums, with Y to XY relative to the corner of each particle's box."""
    rows = np.concatenate([np.empty((0, N_SUMS), np.int64), *(tile.sums for tile in tiles)])
    n_particles = int(particle.max(initial=-1)) + 1
    corner = np.full((n_particles, 2), np.iinfo(np.int64).max)
    np.minimum.at(corner, particle, rows[:, [Sum.MIN_Y, Sum.MIN_X]])
    corners = [(tile.core.y0, tile.core.x0) for tile in tiles]
    origins = np.array(corners, dtype=np.int64).reshape(-1, 2)
    shift = np.repeat(origins, np.diff(first_segment), axis=0) - corner[particle]
    dy, dx, n = shift[:, 0], shift[:, 1], rows[:, Sum.AREA]
    y, x = rows[:, Sum.Y].copy(), rows[:, Sum.X].copy()
    rows[:, Sum.YY] += dy * (2 * y + n * dy)
    rows[:, Sum.XX] += dx * (2 * x + n * dx)
    rows[:, Sum.XY] += dy * x + dx * y + n * dy * dx
    rows[:, Sum.Y] += n * dy
    rows[:, Sum.X] += n * dx
    return rows


def _offsets(counts: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def _joined(arrays: Sequence[NDArray[np.integer[Any]]]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *arrays]).astype(np.int64)
