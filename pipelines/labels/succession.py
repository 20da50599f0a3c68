"""Which particles of a new segmentation stand for which of an earlier one, and their labels."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import particle_id
from pipelines.evaluation.instances import Contingency
from pipelines.labels.table import FLAGGED, GIVEN
from pipelines.schemas import LABELS
from pipelines.tables import to_table

Ids = NDArray[np.int64]

#: What became of a particle: the same one; one piece of several; several in one; or about the
#: same place, but so much larger or smaller that it may be something else.
CARRIED, SPLIT, MERGED, UNSURE = "carried", "split", "merged", "unsure"
#: A pair needs more than this intersection over union to be the same particle.
SAME_IOU = 0.5
#: A piece smaller than this share of the whole is a scrap, not a piece.
_PIECE_SHARE = 0.1
SOURCE = "carry-over"


@dataclass(frozen=True)
class Succession:
    """Pairs of an earlier and a new instance; several of one where it was split or merged.

    Attributes
    ----------
    old, new : (N,) ndarray of int
        Instances.
    shared_px : (N,) ndarray of int
        Pixels that both have.
    kind : (N,) ndarray of str
        What became of the particle.
    newcomers : ndarray of int
        New instances where none was.
    lost : ndarray of int
        Earlier instances where none is any more.
    """

    old: Ids
    new: Ids
    shared_px: Ids
    kind: NDArray[np.str_]
    newcomers: Ids
    lost: Ids

    def same(self) -> dict[int, int]:
        """Return the new instance of every earlier one that is the same particle."""
        same = self.kind == CARRIED
        return dict(zip(self.old[same].tolist(), self.new[same].tolist(), strict=True))


def find_succession(counted: Contingency) -> Succession:
    """Match the instances of two segmentations of one mosaic.

    Parameters
    ----------
    counted : Contingency
        Shared pixels; the earlier segmentation in place of the truth.
    """
    old_px = counted.truth_px[counted.pair_truth]
    new_px = counted.found_px[counted.pair_found]
    shared = counted.pair_px
    is_piece = (2 * shared > new_px) & (shared >= _PIECE_SHARE * old_px)
    is_held = (2 * shared > old_px) & (shared >= _PIECE_SHARE * new_px)
    is_same = counted.pair_iou > SAME_IOU
    is_split = np.bincount(counted.pair_truth[is_piece], minlength=len(counted.truth_ids)) > 1
    is_merged = np.bincount(counted.pair_found[is_held], minlength=len(counted.found_ids)) > 1
    kept = np.flatnonzero(is_piece | is_held | is_same)
    old, new = counted.pair_truth[kept], counted.pair_found[kept]
    kind = np.select(
        [is_merged[new], is_split[old], is_same[kept]], [MERGED, SPLIT, CARRIED], default=UNSURE
    )
    return Succession(
        old=counted.truth_ids[old],
        new=counted.found_ids[new],
        shared_px=shared[kept],
        kind=kind,
        newcomers=np.delete(counted.found_ids, np.unique(new)),
        lost=np.delete(counted.truth_ids, np.unique(old)),
    )


def succeed_labels(
    rows: pa.Table, succession: Succession, *, mosaic: str, segmentation: str
) -> pa.Table:
    """Give the particles of a new segmentation the labels of those that they stand for.

    The same particle keeps its label, its state and who decided. What was split, merged or is not
    surely the same is flagged for review with the label of the largest labelled part; abstentions
    stay abstentions.

    Parameters
    ----------
    rows : pyarrow.Table
        Label rows of the mosaic's earlier segmentation.
    succession : Succession
        From `find_succession`.
    mosaic, segmentation : str
        The mosaic, and the digest of its new segmentation.

    Returns
    -------
    carried : pyarrow.Table
        Rows of the label table, one per new instance.
    """
    place = pc.index_in(pa.array(succession.old), rows["instance"].combine_chunks())
    labelled = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
    # Of several labelled parts the largest comes first, and stands for all.
    order = labelled[np.lexsort((-succession.shared_px[labelled], succession.new[labelled]))]
    _, first, n_parts = np.unique(succession.new[order], return_index=True, return_counts=True)
    chosen = order[first]
    parts = rows.take(place.take(pa.array(order)))
    found = rows.take(place.take(pa.array(chosen)))
    kind, new = succession.kind[chosen], succession.new[chosen]
    is_same = pa.array(kind == CARRIED)
    abstains = pc.and_(pc.equal(found["state"], GIVEN), pc.is_null(found["label"]))
    stays = pc.or_(is_same, abstains.combine_chunks())
    said = _labels_of_parts(parts["label"].to_pylist(), first, n_parts)
    reasons = [
        f"{what} from {', '.join(labels)} by a new segmentation"
        for what, labels in zip(kind.tolist(), said, strict=True)
    ]

    def if_stays(name: str, otherwise: object) -> pa.Array:
        kept = found[name].combine_chunks()
        if not isinstance(otherwise, list):
            otherwise = [otherwise] * len(kept)
        return pc.if_else(stays, kept, pa.array(otherwise, kept.type))

    return to_table(
        "labels",
        {
            "particle_id": [particle_id(mosaic, instance) for instance in new.tolist()],
            "mosaic": [mosaic] * len(new),
            "instance": new,
            "segmentation": [segmentation] * len(new),
            "label": found["label"].combine_chunks(),
            "state": if_stays("state", FLAGGED),
            "source": if_stays("source", SOURCE),
            "method": if_stays("method", kind.tolist()),
            "confidence": if_stays("confidence", None),
            "decided_by": if_stays("decided_by", None),
            "reason": if_stays("reason", reasons),
        },
    ).cast(LABELS)


def _labels_of_parts(
    labels: list[str | None], first: NDArray[np.int64], n_parts: NDArray[np.int64]
) -> list[list[str]]:
    """Name the labels of each new instance's parts, the largest first."""
    return [
        [label or "no label" for label in labels[start : start + n]]
        for start, n in zip(first.tolist(), n_parts.tolist(), strict=True)
    ]
