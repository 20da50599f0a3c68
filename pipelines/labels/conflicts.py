"""Rows that two people or runs changed at once: what was seen, what is there, what is wanted."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.errors import LabelError
from pipelines.labels.changes import find_rows

#: What decides whether a row was changed; the same label for another reason is no conflict.
_COLUMNS = ("label", "state", "segmentation")
#: Conflicts that a message names.
_SHOWN_N = 5

#: One row per conflict.
CONFLICTS = pa.schema(
    [
        ("particle_id", pa.int64()),
        ("mosaic", pa.string()),
        ("instance", pa.int64()),
        ("seen_label", pa.string()),
        ("seen_state", pa.string()),
        ("their_label", pa.string()),
        ("their_state", pa.string()),
        ("my_label", pa.string()),
        ("my_state", pa.string()),
    ]
)


class LabelConflictError(LabelError):
    """Labels were changed by others since they were looked at; ``conflicts`` says which.

    Attributes
    ----------
    conflicts : pyarrow.Table
        With the columns `CONFLICTS`.
    """

    def __init__(self, conflicts: pa.Table) -> None:
        self.conflicts = conflicts
        first = [
            f"{row['mosaic']} {row['instance']} (seen {row['seen_label']} {row['seen_state']}, "
            f"now {row['their_label']} {row['their_state']}, "
            f"wanted {row['my_label']} {row['my_state']})"
            for row in conflicts.slice(0, _SHOWN_N).to_pylist()
        ]
        more = conflicts.num_rows - len(first)
        super().__init__(
            f"{conflicts.num_rows} labels were changed by others since: {'; '.join(first)}"
            f"{f'; and {more} more' if more else ''}"
        )


def find_conflicts(seen: pa.Table, current: pa.Table, wanted: pa.Table) -> pa.Table:
    """Find wanted rows whose particle was changed since, and not to the same.

    Parameters
    ----------
    seen, current, wanted : pyarrow.Table
        Rows of the label table: as they were looked at, as they are now, as they shall be.

    Returns
    -------
    conflicts : pyarrow.Table
        With the columns `CONFLICTS`; nulls where a particle had, or has, no row.
    """
    before, now = (_align(table, wanted) for table in (seen, current))
    changed = _differ(before, now) & _differ(now, wanted)
    found = pa.table(
        {
            "particle_id": wanted["particle_id"],
            "mosaic": wanted["mosaic"],
            "instance": wanted["instance"],
            "seen_label": before["label"],
            "seen_state": before["state"],
            "their_label": now["label"],
            "their_state": now["state"],
            "my_label": wanted["label"],
            "my_state": wanted["state"],
        }
    )
    return found.filter(pa.array(changed)).cast(CONFLICTS)


def _align(rows: pa.Table, wanted: pa.Table) -> pa.Table:
    place = find_rows(rows, wanted)
    return rows.select(_COLUMNS).take(pa.array(place, mask=place < 0))


def _differ(one: pa.Table, other: pa.Table) -> NDArray[np.bool_]:
    differs = np.zeros(one.num_rows, dtype=bool)
    for name in _COLUMNS:
        a, b = (pc.fill_null(table[name], "") for table in (one, other))
        differs |= pc.not_equal(a, b).to_numpy(zero_copy_only=False).astype(bool)
    return differs
