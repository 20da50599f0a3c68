"""How well found instances agree with true ones: matching, splits and merges, block by block."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Image = NDArray[Any]

#: Pairs that wait before they are merged into the running counts: 16 bytes each.
_MERGE_AT_N = 1 << 20
#: A piece smaller than this share of the whole makes neither a split nor a merge.
_PIECE_SHARE = 0.1


@dataclass(frozen=True)
class Contingency:
    """Pixels that true and found instances share, as sparse triples; background is left out.

    ``truth_ids`` and ``found_ids`` are sorted; ``pair_truth`` and ``pair_found`` are indices into
    them, and ``pair_px`` the shared pixels.
    """

    truth_ids: Ids
    truth_px: Ids
    found_ids: Ids
    found_px: Ids
    pair_truth: Ids
    pair_found: Ids
    pair_px: Ids

    @property
    def pair_iou(self) -> NDArray[np.float64]:
        """Intersection over union of every pair that shares a pixel, 0 to 1."""
        union = self.truth_px[self.pair_truth] + self.found_px[self.pair_found] - self.pair_px
        iou: NDArray[np.float64] = self.pair_px / union
        return iou


@dataclass(frozen=True)
class Matches:
    """Pairs of a true and a found instance, one to one, sorted by ``truth_ids``."""

    truth_ids: Ids
    found_ids: Ids
    iou: NDArray[np.float64]


@dataclass(frozen=True)
class InstanceScore:
    """Agreement at one IoU threshold. A ratio without anything to count is nan.

    ``n_split`` counts true instances that lie in several found ones; ``n_merged`` counts found
    instances that hold several true ones.
    """

    iou_threshold: float
    n_truth: int
    n_found: int
    n_matched: int
    mean_matched_iou: float
    n_split: int
    n_merged: int

    @property
    def precision(self) -> float:
        """Share of found instances that are true."""
        return _ratio(self.n_matched, self.n_found)

    @property
    def recall(self) -> float:
        """Share of true instances that were found."""
        return _ratio(self.n_matched, self.n_truth)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.n_matched, self.n_truth + self.n_found)

    @property
    def panoptic_quality(self) -> float:
        """F1 times the mean IoU of the matched (Kirillov et al., CVPR 2019)."""
        return 0.0 if self.n_matched == 0 and self.f1 == 0 else self.f1 * self.mean_matched_iou


class ContingencyCounter:
    """Counts shared pixels of two instance images that are fed block by block.

    Any partition of the image gives the same counts. Memory grows with the number of pairs that
    touch, not with pixels.
    """

    def __init__(self) -> None:
        self._keys: list[NDArray[np.uint64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._waiting = 0

    def add(self, truth: Image, found: Image) -> None:
        """Count one block.

        Parameters
        ----------
        truth, found : (H, W) integer ndarray
            Ids below 2**32 of the same pixels; 0 is background.
        """
        if truth.shape != found.shape:
            raise ValueError(
                f"truth and found must have one shape, got {truth.shape} and {found.shape}"
            )
        if truth.size == 0:
            return
        keys = truth.ravel().astype(np.uint64)
        keys <<= np.uint64(32)
        keys |= found.ravel().astype(np.uint32, copy=False)
        # Ids come in runs: sorting runs instead of pixels is many times faster, and as exact.
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        lengths = np.diff(np.append(starts, keys.size))
        merged, counts = _sum_by_key(keys[starts], lengths)
        self._keys.append(merged)
        self._counts.append(counts)
        self._waiting += merged.size
        if self._waiting >= _MERGE_AT_N:
            self._merge()

    def contingency(self) -> Contingency:
        """Return what was counted so far."""
        self._merge()
        keys = self._keys[0] if self._keys else np.empty(0, np.uint64)
        counts = self._counts[0] if self._counts else np.empty(0, np.int64)
        truth = (keys >> np.uint64(32)).astype(np.int64)
        found = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        truth_ids, truth_px = _sum_by_key(truth[truth > 0], counts[truth > 0])
        found_ids, found_px = _sum_by_key(found[found > 0], counts[found > 0])
        both = (truth > 0) & (found > 0)
        return Contingency(
            truth_ids=truth_ids,
            truth_px=truth_px,
            found_ids=found_ids,
            found_px=found_px,
            pair_truth=np.searchsorted(truth_ids, truth[both]),
            pair_found=np.searchsorted(found_ids, found[both]),
            pair_px=counts[both],
        )

    def _merge(self) -> None:
        if len(self._keys) > 1:
            keys, counts = _sum_by_key(np.concatenate(self._keys), np.concatenate(self._counts))
            self._keys, self._counts = [keys], [counts]
        # Start anew: what stays merged is not waiting, or every further block would merge again.
        self._waiting = 0


def count_shared_pixels(truth: Image, found: Image) -> Contingency:
    """Count the pixels that two whole instance images share; see `ContingencyCounter`."""
    counter = ContingencyCounter()
    counter.add(truth, found)
    return counter.contingency()


def match_instances(contingency: Contingency, *, iou_threshold: float = 0.5) -> Matches:
    """Pair true and found instances whose IoU is above the threshold.

    Above 0.5 an instance has at most one partner, so the matching needs no search and depends on
    no order.

    Parameters
    ----------
    contingency : Contingency
        Shared pixels.
    iou_threshold : float
        0.5 to 1, exclusive for a match.

    Raises
    ------
    ValueError
        If the threshold is below 0.5, where partners are no longer unique.
    """
    if not 0.5 <= iou_threshold < 1:
        raise ValueError(f"iou_threshold must be at least 0.5 and below 1, got {iou_threshold}")
    iou = contingency.pair_iou
    kept = np.flatnonzero(iou > iou_threshold)
    kept = kept[np.argsort(contingency.pair_truth[kept])]
    return Matches(
        truth_ids=contingency.truth_ids[contingency.pair_truth[kept]],
        found_ids=contingency.found_ids[contingency.pair_found[kept]],
        iou=iou[kept],
    )


def score_instances(contingency: Contingency, *, iou_threshold: float = 0.5) -> InstanceScore:
    """Score found instances against true ones at one IoU threshold.

    Parameters
    ----------
    contingency : Contingency
        Shared pixels.
    iou_threshold : float
        0.5 to 1; a match needs more.

    Returns
    -------
    score : InstanceScore
        Counts and ratios. Splits and merges do not depend on the threshold: a true instance is
        split if at least two found ones lie mostly within it and each covers a tenth of it; a
        found instance is merged if at least two true ones lie mostly within it, likewise.
    """
    matches = match_instances(contingency, iou_threshold=iou_threshold)
    c = contingency
    truth_px, found_px = c.truth_px[c.pair_truth], c.found_px[c.pair_found]
    found_in_truth = (2 * c.pair_px > found_px) & (c.pair_px >= _PIECE_SHARE * truth_px)
    truth_in_found = (2 * c.pair_px > truth_px) & (c.pair_px >= _PIECE_SHARE * found_px)
    pieces = np.bincount(c.pair_truth[found_in_truth], minlength=1)
    held = np.bincount(c.pair_found[truth_in_found], minlength=1)
    return InstanceScore(
        iou_threshold=iou_threshold,
        n_truth=c.truth_ids.size,
        n_found=c.found_ids.size,
        n_matched=matches.iou.size,
        mean_matched_iou=float(matches.iou.mean()) if matches.iou.size else math.nan,
        n_split=int((pieces >= 2).sum()),
        n_merged=int((held >= 2).sum()),
    )


def _sum_by_key(keys: NDArray[Any], counts: Ids) -> tuple[NDArray[Any], Ids]:
    """Sum the counts of equal keys; keys come back sorted."""
    if keys.size == 0:
        return keys, counts
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[starts], np.add.reduceat(counts[order], starts).astype(np.int64)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
