"""The label table as it is at one moment, and how the next version is written to it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines.archive import Archive
from pipelines.commits import commit
from pipelines.labels.changes import Changes
from pipelines.places import table_options
from pipelines.tables import has_table, open_table, read_rows
from services.label_versions import LabelVersion, newest_in, to_commit

#: Delta forgets old versions after 30 days unless it is told not to.
_KEEP_EVERY_VERSION = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}


_ORDER = [("mosaic", "ascending"), ("instance", "ascending")]


@dataclass(frozen=True)
class Snapshot:
    """The label table at one of Delta's versions; None before the first."""

    archive: Archive
    number: int | None
    version: LabelVersion | None
    _read: dict[frozenset[str] | None, pa.Table] = field(default_factory=dict, repr=False)

    def read(self, mosaics: Collection[str] | None = None) -> pa.Table:
        """Read its rows: all, or those of some mosaics."""
        key = None if mosaics is None else frozenset(mosaics)
        for known, rows in self._read.items():
            if known is None or (key is not None and key <= known):
                return rows if known == key else _of_mosaics(rows, key or ())
        where = None if key is None else [("mosaic", "in", sorted(key))]
        self._read[key] = read_rows(self.archive, "labels", version=self.number, filters=where)
        return self._read[key]


def open_snapshot(archive: Archive) -> Snapshot:
    """Look at the label table as it is now."""
    if not has_table(archive, "labels"):
        return Snapshot(archive, None, None)
    table = open_table(archive, "labels")
    # The table's version, not the last label version's: Delta's own upkeep commits too.
    return Snapshot(archive, int(table.version()), newest_in(table))


def write_version(snapshot: Snapshot, changes: Changes, made: LabelVersion) -> bool:
    """Write the version; return False if somebody else took its number."""
    archive = snapshot.archive
    path = archive.table("labels")

    def write(mark: Mapping[str, str]) -> None:
        properties = deltalake.CommitProperties(
            custom_metadata={**to_commit(made), **mark}, max_commit_retries=0
        )
        if made.version > 0:
            _replace(snapshot, changes, properties)
            return
        deltalake.write_deltalake(
            str(path),
            changes.come.sort_by(_ORDER),
            mode="error",
            configuration=_KEEP_EVERY_VERSION,
            commit_properties=properties,
            storage_options=table_options(path),
        )

    try:
        commit(path, write)
    except CommitFailedError:
        return False
    except DeltaError:
        if made.version == 0 and has_table(archive, "labels"):
            return False
        raise
    return True


def _replace(snapshot: Snapshot, changes: Changes, made: deltalake.CommitProperties) -> None:
    """Write anew the rows of the mosaics that change; the files of others stay as they are.

    Delta's own merge would leave files whose texts pyarrow cannot filter by.
    """
    touched = {
        name
        for table in (changes.gone, changes.come)
        for name in pc.unique(table["mosaic"]).to_pylist()
    }
    rows = snapshot.read(touched)
    stay = pc.invert(pc.is_in(rows["particle_id"], changes.gone["particle_id"].combine_chunks()))
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(touched))
    deltalake.write_deltalake(
        open_table(snapshot.archive, "labels", version=snapshot.number),
        pa.concat_tables([rows.filter(stay), changes.come]).sort_by(_ORDER),
        mode="overwrite",
        predicate=f"mosaic in ({names})",
        commit_properties=made,
    )


def _of_mosaics(rows: pa.Table, mosaics: Collection[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows["mosaic"], pa.array(sorted(mosaics), pa.string())))
