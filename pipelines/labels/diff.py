"""What differs between two versions of the labels: transitions, populations, particles."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.evaluation.population import ClassRatio, class_ratio
from pipelines.schemas import LABELS

#: Columns of a changed particle, and of a transition.
_IDENTITY = ("particle_id", "mosaic", "instance", "segmentation")
_BEFORE_AFTER = ("label_before", "state_before", "label_after", "state_after")


@dataclass(frozen=True)
class Population:
    """The share of a class among labelled particles, before and after."""

    label: str
    before: ClassRatio
    after: ClassRatio


@dataclass(frozen=True)
class LabelDiff:
    """What differs between two versions.

    Attributes
    ----------
    transitions : pyarrow.Table
        ``label_before, state_before, label_after, state_after, n``, most frequent first. State is
        null where a particle has no row.
    changed : pyarrow.Table
        A row per particle whose label or state differs, or that came or went.
    populations : tuple of Population
        Shares of the classes among rows with a label, with Wilson's intervals.
    n_same : int
        Particles with a row in both versions and equal label and state.
    n_touched : int
        Those of them that differ in something else, such as confidence or reason.
    """

    transitions: pa.Table
    changed: pa.Table
    populations: tuple[Population, ...]
    n_same: int
    n_touched: int


def diff_labels(before: pa.Table, after: pa.Table) -> LabelDiff:
    """Compare two versions of the label table.

    A row of the same id but of another segmentation is of another particle: one went, one came.

    Parameters
    ----------
    before, after : pyarrow.Table
        Rows of the label table.
    """
    before, after = before.combine_chunks(), after.combine_chunks()
    rows_before, rows_after = _pair(before, after)
    differs = _differ(before, after, rows_before, rows_after, ("label", "state"))
    others = [name for name in LABELS.names if name not in (*_IDENTITY, "label", "state")]
    same = np.flatnonzero(~differs)
    touched = _differ(before, after, rows_before[same], rows_after[same], others)
    changed = pa.concat_tables(
        [
            _changes(before, after, rows_before[differs], rows_after[differs]),
            _changes(before, after, _others(before.num_rows, rows_before), None),
            _changes(before, after, None, _others(after.num_rows, rows_after)),
        ]
    )
    transitions = changed.group_by(list(_BEFORE_AFTER)).aggregate([("particle_id", "count")])
    transitions = transitions.rename_columns([*_BEFORE_AFTER, "n"])
    order = [("n", "descending"), *((name, "ascending") for name in _BEFORE_AFTER)]
    return LabelDiff(
        transitions=transitions.sort_by(order),
        changed=changed.sort_by([("mosaic", "ascending"), ("instance", "ascending")]),
        populations=_populations(before["label"], after["label"]),
        n_same=len(same),
        n_touched=int(touched.sum()),
    )


def _pair(before: pa.Table, after: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the particles that are in both, as two arrays of one length."""
    ids_before, ids_after = (table["particle_id"].to_numpy() for table in (before, after))
    _, rows_before, rows_after = np.intersect1d(
        ids_before, ids_after, assume_unique=True, return_indices=True
    )
    other = _differ(before, after, rows_before, rows_after, ("segmentation",))
    return rows_before[~other], rows_after[~other]


def _differ(
    before: pa.Table,
    after: pa.Table,
    rows_before: NDArray[np.int64],
    rows_after: NDArray[np.int64],
    names: tuple[str, ...] | list[str],
) -> NDArray[np.bool_]:
    """Tell which pairs of rows differ in some columns; null is equal to null alone."""
    differs = np.zeros(len(rows_before), dtype=bool)
    for name in names:
        one, other = _codes(before[name], after[name])
        differs |= one[rows_before] != other[rows_after]
    return differs


def _codes(one: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[NDArray[np.int64], ...]:
    """Give equal values of two columns equal numbers, which are quick to compare."""
    both = pa.chunked_array([*one.chunks, *other.chunks], one.type).combine_chunks()
    if pa.types.is_floating(both.type):
        # The bits themselves; a null has bits that no number has.
        bits = both.fill_null(0.0).to_numpy().view(np.int64)
        codes = np.where(both.is_valid().to_numpy(zero_copy_only=False), bits, -1)
    else:
        codes = both.dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    return codes[: len(one)], codes[len(one) :]


def _others(n_rows: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    alone = np.ones(n_rows, dtype=bool)
    alone[rows] = False
    return np.flatnonzero(alone)


def _changes(
    before: pa.Table,
    after: pa.Table,
    rows_before: NDArray[np.int64] | None,
    rows_after: NDArray[np.int64] | None,
) -> pa.Table:
    """Return the rows of particles that changed, or that are in one version alone."""
    was = None if rows_before is None else before.take(pa.array(rows_before))
    came = None if rows_after is None else after.take(pa.array(rows_after))
    known = came if came is not None else was
    assert known is not None, "one side at least is given"
    nothing = pa.nulls(known.num_rows, pa.string())
    columns = {name: known[name] for name in _IDENTITY}
    for when, side in (("before", was), ("after", came)):
        for name in ("label", "state"):
            columns[f"{name}_{when}"] = nothing if side is None else side[name]
    return pa.table(columns)


def _populations(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[Population, ...]:
    counts: list[dict[str, int]] = []
    for labels in (before, after):
        found = pc.value_counts(labels.drop_null()).to_pylist()
        counts.append({row["values"]: row["counts"] for row in found})
    names = sorted({*counts[0], *counts[1]})
    return tuple(
        Population(name, *(class_ratio(n.get(name, 0), sum(n.values())) for n in counts))
        for name in names
    )
