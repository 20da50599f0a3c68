"""Append to a table for as long as one likes, each time at the same cost.

Every append makes a file and an entry of Delta's log, and whoever appends or reads has to know
all files: unless somebody joins them, each commit costs more than the one before.
"""

from collections.abc import Mapping

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipelines.archive import Archive
from pipelines.commits import commit
from pipelines.places import in_bucket
from pipelines.schemas import SCHEMAS
from pipelines.tables import append_rows, has_table, open_table

#: Files below this size are joined once there are so many of them.
SMALL_FILE_BYTES = 8 << 20
MAX_SMALL_FILES = 64
#: The log is condensed when files are joined, and not in between.
_ONLY_COMMIT = deltalake.PostCommitHookProperties(create_checkpoint=False)


class Appender:
    """Appends to one table, and joins its small files when there are many.

    Earlier versions of the table stay readable: files that were joined are left where they are.

    Parameters
    ----------
    archive : Archive
        The archive, which this process alone writes tables of.
    name : str
        A key of `SCHEMAS`.
    """

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive = archive
        self._name = name
        self._table: deltalake.DeltaTable | None = None
        self._n_small = 0

    def append(self, rows: pa.Table) -> None:
        """Append rows in one atomic commit."""
        if self._table is None:
            if not has_table(self._archive, self._name):
                append_rows(self._archive, self._name, rows)
                return
            self._open()
        rows = rows.cast(SCHEMAS[self._name])

        def write(mark: Mapping[str, str]) -> None:
            assert self._table is not None
            deltalake.write_deltalake(
                self._table,
                rows,
                mode="append",
                # Columns that came since the table was made.
                schema_mode="merge",
                commit_properties=deltalake.CommitProperties(custom_metadata=dict(mark)),
                post_commithook_properties=_ONLY_COMMIT,
            )

        commit(self._archive.table(self._name), write)
        self._n_small += 1
        if self._n_small >= MAX_SMALL_FILES:
            self._join_files()

    def _open(self) -> None:
        self._table = open_table(self._archive, self._name)
        sizes = pa.table(self._table.get_add_actions())["size_bytes"].to_pylist()
        self._n_small = sum(size < SMALL_FILE_BYTES for size in sizes)

    def _compact(self, mark: Mapping[str, str]) -> None:
        assert self._table is not None
        self._table.optimize.compact(
            target_size=SMALL_FILE_BYTES,
            commit_properties=deltalake.CommitProperties(custom_metadata=dict(mark)),
            post_commithook_properties=_ONLY_COMMIT,
        )

    def _join_files(self) -> None:
        # Somebody else in this process may have joined files since the table was opened.
        self._open()
        assert self._table is not None
        if self._n_small >= MAX_SMALL_FILES:
            try:
                commit(self._archive.table(self._name), self._compact)
                self._table.create_checkpoint()
            except (DeltaError, OSError):
                if not in_bucket(self._archive.root):
                    raise
                # A bucket that does not answer: nothing is lost, the next ones will be joined.
                self._table, self._n_small = None, 0
                return
            # A table that was opened once keeps a list entry for every commit since.
            self._open()
