"""The archive's Delta tables: appending, replacing and reading; columns are in `schemas`."""

from collections.abc import Mapping, Sequence
from typing import Any

import deltalake
import pyarrow as pa
from deltalake.exceptions import TableNotFoundError

from pipelines.archive import Archive
from pipelines.commits import commit
from pipelines.errors import ArchiveError
from pipelines.places import in_bucket, table_options
from pipelines.schemas import SCHEMAS


def append_rows(archive: Archive, name: str, rows: pa.Table, **metadata: str) -> int:
    """Append rows in one atomic commit; return the table's new version."""
    return _write(archive, name, rows, mode="append", metadata=metadata)


def replace_rows(
    archive: Archive, name: str, rows: pa.Table, *, where: str | None, **metadata: str
) -> int:
    """Replace the rows that fulfil ``where`` (all, if None) in one atomic commit.

    Earlier versions of the table stay readable.
    """
    if not has_table(archive, name):
        where = None
    return _write(archive, name, rows, mode="overwrite", metadata=metadata, predicate=where)


def read_rows(
    archive: Archive,
    name: str,
    *,
    columns: Sequence[str] | None = None,
    filters: Sequence[tuple[str, str, Any]] | None = None,
    version: int | None = None,
) -> pa.Table:
    """Read a table, or the empty table with its columns where none was written yet.

    Parameters
    ----------
    archive : Archive
        The archive.
    name : str
        A key of `SCHEMAS`.
    columns : sequence of str, optional
        Columns to read; all by default.
    filters : sequence of (column, operator, value), optional
        Conditions that all must hold; operators as in ``deltalake`` (``"="``, ``"in"``, ...).
    version : int, optional
        The version to read; the newest by default.

    Raises
    ------
    ArchiveError
        If ``version`` does not exist.
    """
    schema = SCHEMAS[name]
    if columns is not None:
        schema = pa.schema([schema.field(column) for column in columns])
    if not has_table(archive, name):
        if version is not None:
            raise ArchiveError(f"table {name} has no version {version}: it was never written")
        return schema.empty_table()
    try:
        table = open_table(archive, name, version=version)
    except (deltalake.exceptions.DeltaError, OSError, OverflowError) as error:
        raise ArchiveError(f"table {name} cannot be read at version {version}: {error}") from error
    # Arrow cannot tell the type of an empty list.
    if any(operator == "in" and len(values) == 0 for _, operator, values in filters or ()):
        return schema.empty_table()
    there = {field.name for field in table.schema().fields}
    found = table.to_pyarrow_table(
        columns=[column for column in schema.names if column in there],
        filters=list(filters) if filters else None,
    )
    # A table that an earlier version made lacks the columns that came since.
    for column in schema.names:
        if column not in there:
            found = found.append_column(
                schema.field(column), pa.nulls(len(found), schema.field(column).type)
            )
    return found.select(schema.names).cast(schema)


def table_version(archive: Archive, name: str) -> int | None:
    """Return the newest version of a table, or None where none was written yet."""
    if not has_table(archive, name):
        return None
    return int(open_table(archive, name).version())


def has_table(archive: Archive, name: str) -> bool:
    """Tell whether the table was ever written."""
    path = archive.table(name)
    if in_bucket(path):
        # Delta's own question holds up every other thread until it is answered.
        return (path / "_delta_log").is_dir()
    return bool(deltalake.DeltaTable.is_deltatable(str(path)))


def open_table(archive: Archive, name: str, *, version: int | None = None) -> deltalake.DeltaTable:
    """Open a table that was written."""
    path = archive.table(name)
    return deltalake.DeltaTable(str(path), version=version, storage_options=table_options(path))


def to_table(name: str, columns: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make an Arrow table of the named schema from columns or rows; absent columns are null.

    Raises
    ------
    ValueError
        If a column is not of the schema: a slip would leave the right one null.
    """
    schema = SCHEMAS[name]
    given = columns if isinstance(columns, Mapping) else {key for row in columns for key in row}
    if unknown := sorted(set(given) - set(schema.names)):
        raise ValueError(f"table {name} has no column {unknown[0]!r}")
    if not isinstance(columns, Mapping):
        return pa.Table.from_pylist(list(columns), schema=schema)
    n_rows = len(next(iter(columns.values()))) if columns else 0
    arrays = [
        pa.array(columns[field.name], type=field.type)
        if field.name in columns
        else pa.nulls(n_rows, type=field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _write(
    archive: Archive,
    name: str,
    rows: pa.Table,
    *,
    mode: str,
    metadata: Mapping[str, str],
    predicate: str | None = None,
) -> int:
    path = archive.table(name)
    rows, options = rows.cast(SCHEMAS[name]), table_options(path)
    made: list[int] = []

    def write(mark: Mapping[str, str]) -> None:
        target: deltalake.DeltaTable | str = str(path)
        if in_bucket(path) and has_table(archive, name):
            # Opened once: otherwise Delta would read its log anew for every question.
            target = open_table(archive, name)
        deltalake.write_deltalake(
            target,
            rows,
            mode=mode,
            predicate=predicate,
            # Columns that came since the table was made.
            schema_mode="merge",
            commit_properties=deltalake.CommitProperties(custom_metadata={**metadata, **mark}),
            storage_options=options,
        )
        if not isinstance(target, str):
            made.append(int(target.version()))

    commit(path, write)
    try:
        return made[-1] if made else int(open_table(archive, name).version())
    except TableNotFoundError as error:  # pragma: no cover - the write above made it
        raise ArchiveError(f"table {name} vanished while it was written") from error
