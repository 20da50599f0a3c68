"""Which regions are one particle: merging by topological persistence, exactly.

Lower a water level from the highest peak. When two bodies of land meet at a saddle, the one
with the lower peak ends; its persistence is its peak's height above that saddle. It joins the
other particle if that is small, and stays a particle of its own if not.

Whether a body's best saddle is known decides whether the step can be taken: a body that can
also be left through pixels not seen here, by a saddle that is higher, has to wait for whoever
sees both sides. So a tile does what it can, and the mosaic does the rest by the same rule.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.regions import Ints, follow, key_height, saddle_height

#: A decision counts as uncertain if the persistence is within this share of the limit.
UNCERTAIN_SHARE = 0.1


@dataclass(frozen=True)
class SplitRule:
    """When two peaks stay apart: the lower rises above the saddle by at least both of these.

    Equal heights are never apart, whatever the rule: a plateau is one.
    """

    height: float
    fraction: float

    def limit(self, peak_heights: Ints) -> NDArray[np.float64]:
        """Return the least persistence at which a peak of this height stays."""
        limits: NDArray[np.float64] = np.maximum(
            max(self.height, 1.0), self.fraction * peak_heights
        )
        return limits


@dataclass(frozen=True)
class Merged:
    """What became of some regions.

    Attributes
    ----------
    segment : (r,) int64 array
        Particle, or known part of one, of each region: 0 to n_segments - 1.
    body : (r,) int64 array
        Which regions have met so far, merged or not: 0 to n_bodies - 1.
    body_peaks : (n_bodies,) int64 array
        Key of each body's highest known peak.
    waiting : (w,) int64 array
        Edges between bodies whose turn has not come, as indices into the edges.
    n_uncertain : int
        Decisions close to the limit.
    """

    segment: Ints
    body: Ints
    body_peaks: Ints
    waiting: Ints
    n_uncertain: int

    @property
    def n_segments(self) -> int:
        """Number of segments."""
        return int(self.segment.max(initial=-1)) + 1


def merge_regions(
    peaks: Ints,
    edges: Ints,
    saddles: Ints,
    *,
    rule: SplitRule,
    outside: Ints | None = None,
    bodies: Ints | None = None,
) -> Merged:
    """Merge regions whose peaks do not rise enough above the saddles between them.

    Parameters
    ----------
    peaks : (b,) int64 array
        Key of each body's highest peak; no two equal.
    edges : (e, 2) int64 array
        Pairs of regions that touch; a pair may appear often.
    saddles : (e,) int64 array
        Key of each edge; equal keys only for equal pixels.
    rule : SplitRule
        When peaks stay apart.
    outside : (b,) int64 array, optional
        Key of each body's best way out to regions not given here; -1 where there is none.
    bodies : (r,) int64 array, optional
        The body that each region has become part of already; by default each is its own.

    Notes
    -----
    This is Boruvka's algorithm for the maximum spanning forest. A body whose best edge leads to
    a higher peak ends there: at that level it is joined to nothing else, so its persistence is
    known, whatever happens elsewhere. The persistence of watersheds is in [1]_.

    References
    ----------
    .. [1] L. Najman and M. Schmitt, Geodesic saliency of watershed contours and hierarchical
       segmentation, IEEE TPAMI 18 (1996).
    """
    order = np.argsort(-saddles)
    left, right = edges[order, 0], edges[order, 1]
    keys = saddles[order]
    alive = np.arange(len(order))
    body = np.arange(len(peaks)) if bodies is None else bodies
    way_out = np.full(len(peaks), -1) if outside is None else outside.copy()
    joined: list[Ints] = []
    n_uncertain = 0
    while True:
        a, b = body[left[alive]], body[right[alive]]
        apart = a != b
        alive, a, b = alive[apart], a[apart], b[apart]
        lower, best = _best_edges(a, b)
        edge = alive[best]
        other = a[best] + b[best] - lower
        ends = (peaks[lower] < peaks[other]) & (way_out[lower] < keys[edge])
        if not ends.any():
            break
        lower, other, edge = lower[ends], other[ends], edge[ends]
        height = key_height(peaks[lower])
        persistence = height - saddle_height(keys[edge])
        limit = rule.limit(height)
        joined.append(edge[persistence < limit])
        n_uncertain += int((np.abs(persistence - limit) <= UNCERTAIN_SHARE * limit).sum())
        parents = np.arange(len(peaks))
        # Upwards only, so what remains of a body is its highest peak.
        parents[lower] = other
        parents = follow(parents)
        np.maximum.at(way_out, parents[lower], way_out[lower])
        body = parents[body]
    same = np.concatenate(joined) if joined else np.empty(0, dtype=np.int64)
    segment = connected(len(body), left[same], right[same])
    tops, body = np.unique(body, return_inverse=True)
    return Merged(segment, body, peaks[tops], order[_first_of_pairs(alive, a, b)], n_uncertain)


def connected(n: int, left: Ints, right: Ints) -> Ints:
    """Find connected components: give every node the number of its own, in order of nodes."""
    # Pointers to smaller nodes, followed to their ends, until both ends of every edge agree.
    parents = np.arange(n)
    while len(left):
        a, b = parents[left], parents[right]
        apart = a != b
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(parents, np.maximum(a, b), np.minimum(a, b))
        parents = follow(parents)
    is_first = parents == np.arange(n)
    return (np.cumsum(is_first) - 1)[parents]


def _best_edges(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Return the bodies that have edges, and the first edge of each; edges are in order."""
    ends = np.concatenate([a, b])
    index = np.concatenate([np.arange(len(a)), np.arange(len(a))])
    best = np.full(int(ends.max(initial=-1)) + 1, len(a))
    np.minimum.at(best, ends, index)
    bodies = np.flatnonzero(best < len(a))
    return bodies, best[bodies]


def _first_of_pairs(alive: Ints, a: Ints, b: Ints) -> Ints:
    """Keep the best edge of each pair of bodies; the others can never be taken."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    _, first = np.unique(low * (int(high.max(initial=0)) + 1) + high, return_index=True)
    return alive[first]
