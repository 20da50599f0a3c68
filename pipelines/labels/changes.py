"""What new rows change in the label table: the rows that go, and the rows that come."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.digests import DIGEST_BYTES, sum_hashes
from pipelines.errors import LabelError
from pipelines.labels.table import FOLLOWERS, GIVEN, hash_labels

Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint32]


@dataclass(frozen=True)
class Changes:
    """Rows of the label table that go, those that come, and the hashes of both.

    A particle whose row is replaced is in both. Rows that stay as they are are in neither.
    """

    gone: pa.Table
    come: pa.Table
    gone_hashes: Hashes
    come_hashes: Hashes

    def __bool__(self) -> bool:
        return bool(self.gone.num_rows or self.come.num_rows)

    @property
    def dropped_ids(self) -> pa.Array:
        """Particles that have no row any more."""
        ids = self.gone["particle_id"].combine_chunks()
        return ids.filter(pc.invert(pc.is_in(ids, self.come["particle_id"].combine_chunks())))

    def digest_after(self, digest_before: str) -> str:
        """Return the content digest of the table once it is changed."""
        total = int(digest_before, 16) - sum_hashes(self.gone_hashes) + sum_hashes(self.come_hashes)
        return f"{total % 2 ** (8 * DIGEST_BYTES):032x}"

    def count_after(self, n_rows: int, n_labelled: int) -> tuple[int, int]:
        """Return the numbers of rows, and of rows with a label, once the table is changed."""
        rows = self.come.num_rows - self.gone.num_rows
        labelled = rows - self.come["label"].null_count + self.gone["label"].null_count
        return n_rows + rows, n_labelled + labelled


def plan_changes(current: pa.Table, rows: pa.Table, *, anew: Collection[str] = ()) -> Changes:
    """Tell what new rows change.

    A new row in state `GIVEN` never replaces a decision (any other state); a new row in another
    state replaces the particle's row, if it may follow it. Rows of equal ids that belong to
    another segmentation are of another particle.

    Parameters
    ----------
    current, rows : pyarrow.Table
        Rows of the label table; ``current`` needs those of the mosaics that ``rows`` and ``anew``
        name alone.
    anew : collection of str
        Mosaics that ``rows`` label anew: their other given rows go, and so do decisions on an
        earlier segmentation, whose instances are no longer there.

    Raises
    ------
    LabelError
        If a new state may not follow the current one, or a decision on an earlier segmentation
        would be lost.
    """
    place = find_rows(current, rows)
    before = current.take(pa.array(place, mask=place < 0))
    is_known = place >= 0
    is_same = is_known & _equal(before["segmentation"], rows["segmentation"])
    was_decided = is_known & _to_bools(pc.not_equal(before["state"], GIVEN))
    is_weak = _to_bools(pc.equal(rows["state"], GIVEN))
    in_anew = _to_bools(pc.is_in(rows["mosaic"], _strings(anew)))
    _check_segmentations(before, rows, was_decided & ~is_same & ~in_anew)
    _check_followers(before, rows, ~is_weak & is_same)
    kept = rows.filter(pa.array(~(is_weak & is_same & was_decided)))
    gone = _is_anew(current, rows, anew)
    replaced = find_rows(current, kept)
    gone[replaced[replaced >= 0]] = True
    decided_ids = (
        rows["particle_id"].combine_chunks().filter(pa.array(is_weak & is_same & was_decided))
    )
    gone &= ~_to_bools(pc.is_in(current["particle_id"], decided_ids))
    return changes_between(current.filter(pa.array(gone)), kept)


def changes_between(before: pa.Table, after: pa.Table) -> Changes:
    """Tell what must go and come so that the rows ``before`` become ``after``."""
    gone_hashes, come_hashes = hash_labels(before), hash_labels(after)
    place = find_rows(before, after)
    stays = place >= 0
    stays[stays] = (gone_hashes[place[stays]] == come_hashes[stays]).all(axis=1)
    goes = np.ones(before.num_rows, dtype=bool)
    goes[place[stays]] = False
    return Changes(
        gone=before.filter(pa.array(goes)),
        come=after.filter(pa.array(~stays)),
        gone_hashes=gone_hashes[goes],
        come_hashes=come_hashes[~stays],
    )


def merge_labels(current: pa.Table, rows: pa.Table, *, anew: Collection[str] = ()) -> pa.Table:
    """Return the table that new rows lead to; see `plan_changes`.

    Returns
    -------
    merged : pyarrow.Table
        Sorted by mosaic and instance.
    """
    changes = plan_changes(current, rows, anew=anew)
    stay = pc.invert(pc.is_in(current["particle_id"], changes.gone["particle_id"].combine_chunks()))
    merged = pa.concat_tables([current.filter(stay), changes.come])
    return merged.sort_by([("mosaic", "ascending"), ("instance", "ascending")]).combine_chunks()


def find_rows(current: pa.Table, rows: pa.Table) -> NDArray[np.int64]:
    """Return where in ``current`` the particle of each row is; -1 where it has no row there."""
    place = pc.index_in(
        rows["particle_id"].combine_chunks(), current["particle_id"].combine_chunks()
    )
    found: NDArray[np.int64] = place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _is_anew(current: pa.Table, rows: pa.Table, anew: Collection[str]) -> Bools:
    """Tell which rows go because their mosaic is labelled anew."""
    known = rows.group_by("mosaic").aggregate([("segmentation", "max")])
    newest = known["segmentation_max"].combine_chunks()
    position = pc.index_in(current["mosaic"], value_set=known["mosaic"].combine_chunks())
    expected = newest.take(position.combine_chunks())
    outdated = pc.fill_null(pc.not_equal(current["segmentation"], expected), False)
    goes = pc.or_(pc.equal(current["state"], GIVEN), outdated)
    return _to_bools(pc.and_(pc.is_in(current["mosaic"], _strings(anew)), goes))


def _check_segmentations(before: pa.Table, rows: pa.Table, is_lost: Bools) -> None:
    if is_lost.any():
        first = int(np.flatnonzero(is_lost)[0])
        raise LabelError(
            f"mosaic {rows['mosaic'][first]} has decided labels of segmentation "
            f"{before['segmentation'][first]}, and these rows are of "
            f"{rows['segmentation'][first]}: `tessera segment` carries labels over"
        )


def _check_followers(before: pa.Table, rows: pa.Table, is_decision: Bools) -> None:
    pairs = pa.table(
        {"before": before["state"], "after": rows["state"], "id": rows["particle_id"]}
    ).filter(pa.array(is_decision))
    changes = pairs.group_by(["before", "after"]).aggregate([("id", "min")])
    for change in changes.to_pylist():
        if change["after"] not in FOLLOWERS[change["before"]]:
            raise LabelError(
                f"label of particle {change['id_min']} is {change['before']}; "
                f"it cannot become {change['after']}"
            )


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Bools:
    """Compare, with nulls equal to each other and to nothing else."""
    same = pc.fill_null(pc.equal(one, other), False)
    return _to_bools(pc.or_(same, pc.and_(pc.is_null(one), pc.is_null(other))))


def _to_bools(values: pa.ChunkedArray) -> Bools:
    found: Bools = pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
    return found


def _strings(values: Collection[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())
