"""An edited export as a new label version: what was changed in it, line by line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.archive import Archive
from pipelines.errors import SettingsError
from pipelines.labels.table import (
    ACCEPTED,
    FOLLOWERS,
    GIVEN,
    PROPOSED,
    REJECTED,
    UNDETERMINABLE,
)
from pipelines.tables import read_rows, to_table
from services.label_decisions import SOURCE, earlier_labels
from services.label_export.tables import CSV_COLUMNS, EXPORTED
from services.label_versions import list_versions
from services.particle_file import IDENTITY, ParticleLine, read_class, read_particle_file

_EDITED = ("label", "state")


def read_edits(archive: Archive, path: Path, *, author: str) -> tuple[pa.Table, int]:
    """Read what was edited in a CSV file that ``tessera versions export`` wrote.

    Labels, states and reasons count; other columns are not read. A label that was changed
    while its state was not becomes accepted; ``undeterminable`` may stand in either column.

    Parameters
    ----------
    archive : Archive
        The archive.
    path : Path
        The file; lines may be missing, which changes nothing.
    author : str
        Who edited it.

    Returns
    -------
    rows : pyarrow.Table
        Rows of the label table that the edited lines lead to.
    base : int
        The version that was exported.

    Raises
    ------
    SettingsError
        Naming the file, the line and the value that is wrong.
    """
    required = (*_EDITED, *EXPORTED)
    optional = [name for name in CSV_COLUMNS if name not in (*IDENTITY, *required)]
    lines = read_particle_file(path, flag="FILE", required=required, optional=optional)
    base = _base(archive, lines)
    edited = [line for line in lines if _is_edited(line)]
    found = read_rows(
        archive,
        "labels",
        filters=[("particle_id", "in", [line.particle_id for line in lines])],
        version=base,
    )
    row_of = {row["particle_id"]: row for row in found.to_pylist()}
    for line in lines:
        _check_exported(line, row_of.get(line.particle_id), base)
    refused = {line.particle_id for line in edited if _is_refusal(line)}
    earlier = earlier_labels(archive, refused, base) if refused else {}
    rows = [_edit(line, row_of[line.particle_id], earlier, author) for line in edited]
    return to_table("labels", rows), base


def _base(archive: Archive, lines: list[ParticleLine]) -> int:
    """Return the version that all lines were exported from."""
    first = lines[0].text("exported_version")
    for line in lines:
        if line.text("exported_version") != first:
            raise SettingsError(
                f"{line.where}: exported_version must be {first} as in the lines above, got "
                f"{line.text('exported_version')!r}"
            )
    known = [version.version for version in list_versions(archive)]
    if not first.isdecimal() or int(first) not in known:
        raise SettingsError(
            f"{lines[0].where}: exported_version must be a label version of {archive.root}, got "
            f"{first!r}"
        )
    return int(first)


def _is_edited(line: ParticleLine) -> bool:
    return any(line.text(name) != line.text(f"exported_{name}") for name in _EDITED)


def _is_refusal(line: ParticleLine) -> bool:
    """Tell whether a proposal is refused, and so the label from before it is meant."""
    unedited = line.text("label") == line.text("exported_label")
    return unedited and line.text("exported_state") == PROPOSED and line.text("state") == REJECTED


def _check_exported(line: ParticleLine, row: Mapping[str, Any] | None, base: int) -> None:
    if row is None:
        raise SettingsError(f"{line.where}: version {base} has no label of {line.name}")
    for name in _EDITED:
        if line.text(f"exported_{name}") != (row[name] or ""):
            raise SettingsError(
                f"{line.where}: exported_{name} must stay as it was exported, "
                f"{row[name] or ''!r}, got {line.text(f'exported_{name}')!r}"
            )
    wanted = line.text("segmentation")
    if wanted and wanted != (row["segmentation"] or ""):
        raise SettingsError(
            f"{line.where}: segmentation must stay as it was exported, {row['segmentation']}, got "
            f"{wanted!r}"
        )


def _edit(
    line: ParticleLine, row: Mapping[str, Any], earlier: Mapping[int, str | None], author: str
) -> dict[str, Any]:
    """Return the row of the label table that an edited line leads to."""
    label: str | None = read_class(line) if line.text("label") else None
    state = line.text("state")
    if state not in FOLLOWERS:
        raise SettingsError(
            f"{line.where}: state must be one of {', '.join(FOLLOWERS)}, got {state!r}"
        )
    label = earlier.get(line.particle_id, label)
    label_changed = line.text("label") != line.text("exported_label")
    state_changed = state != line.text("exported_state")
    if label == UNDETERMINABLE or (state_changed and state == UNDETERMINABLE):
        label, state = None, UNDETERMINABLE
    elif label_changed and not state_changed:
        state = ACCEPTED
    if label is None and state not in (UNDETERMINABLE, GIVEN):
        raise SettingsError(
            f"{line.where}: a label in state {state} must not be empty; where nobody can tell, the "
            f"state is {UNDETERMINABLE}"
        )
    if state not in FOLLOWERS[row["state"]]:
        raise SettingsError(
            f"{line.where}: {line.name} is {row['state']}; it cannot become {state}, only "
            f"{' or '.join(sorted(FOLLOWERS[row['state']] - {row['state']}))}"
        )
    return {
        **{name: row[name] for name in ("particle_id", "mosaic", "instance", "segmentation")},
        "label": label,
        "state": state,
        "source": SOURCE,
        "method": "import",
        "confidence": 1.0,
        "decided_by": author,
        "reason": line.text("reason") or None,
    }
