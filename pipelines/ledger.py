"""What was done to which unit of work: the truth for resuming, kept in a Delta table.

The driver alone appends, in small batches, each an atomic commit.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import pyarrow as pa

from pipelines.appending import Appender
from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.tables import read_rows, to_table

DONE = "done"
QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Entry:
    """A unit of work that ended."""

    key: str
    stage: str
    mosaic: str
    unit: str
    status: str = DONE
    attempts: int = 1
    seconds: float = 0.0
    reason: str = ""
    result: str = "{}"
    settings: str = ""
    code_version: str = ""
    run_id: str = ""


def work_key(stage: str, result_version: int, content: str, settings: object, unit: object) -> str:
    """Digest what decides the result of a unit of work.

    Parameters
    ----------
    stage : str
        The stage's name.
    result_version : int
        A number that the stage's author raises whenever results change.
    content : str
        Digest of the input.
    settings : object
        The settings that matter to the stage, as JSON-like values.
    unit : object
        Which part of the input, as a JSON-like value.
    """
    return digest_json([stage, result_version, content, settings, unit])


def read_entries(
    archive: Archive,
    stage: str,
    *,
    status: str | None = None,
    unit: str | None = None,
    mosaics: Collection[str] | None = None,
) -> dict[str, Entry]:
    """Return the newest entry of every key of a stage.

    Parameters
    ----------
    archive : Archive
        The archive.
    stage : str
        The stage's name.
    status : str, optional
        Only keys whose newest entry has it.
    unit : str, optional
        Only this unit of work: a ledger has many tiles to a mosaic.
    mosaics : collection of str, optional
        Only entries of these mosaics.
    """
    found = iterate_entries(archive, stage, unit=unit, mosaics=mosaics)
    entries = {entry.key: entry for entry in found}
    if status is None:
        return entries
    return {key: entry for key, entry in entries.items() if entry.status == status}


def iterate_entries(
    archive: Archive,
    stage: str,
    *,
    unit: str | None = None,
    mosaics: Collection[str] | None = None,
) -> Iterator[Entry]:
    """Yield the entries of a stage, oldest first; parameters are those of `read_entries`."""
    filters: list[tuple[str, str, object]] = [("stage", "=", stage)]
    if unit is not None:
        filters.append(("unit", "=", unit))
    if mosaics is not None:
        filters.append(("mosaic", "in", sorted(mosaics)))
    names = [field.name for field in fields(Entry)]
    rows = read_rows(archive, "ledger", columns=[*names, "at"], filters=filters).sort_by("at")
    # Piece by piece: rows of Python objects take many times the memory of the table.
    for batch in rows.select(names).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield Entry(**row)


def append_entries(archive: Archive, entries: Iterable[Entry]) -> None:
    """Append entries in one commit; nothing to append makes no commit."""
    rows = _to_rows(entries)
    if rows.num_rows:
        Appender(archive, "ledger").append(rows)


def _to_rows(entries: Iterable[Entry]) -> pa.Table:
    """Return entries as rows that end now."""
    given = list(entries)
    columns: dict[str, object] = {
        field.name: [getattr(entry, field.name) for entry in given] for field in fields(Entry)
    }
    return to_table("ledger", {**columns, "at": [datetime.now(UTC)] * len(given)})


class LedgerWriter:
    """Collects entries and commits them when enough have come or enough time has passed."""

    def __init__(self, archive: Archive, *, every_n: int = 4096, every_s: float = 2.0) -> None:
        self._table = Appender(archive, "ledger")
        self._every_n = every_n
        self._every_s = every_s
        self._waiting: list[Entry] = []
        self._last = time.monotonic()

    def add(self, entry: Entry) -> None:
        """Take an entry, and commit if it is time."""
        self._waiting.append(entry)
        late = time.monotonic() - self._last >= self._every_s
        if late or len(self._waiting) >= self._every_n:
            self.flush()

    def flush(self) -> None:
        """Commit what is waiting."""
        if self._waiting:
            self._table.append(_to_rows(self._waiting))
        self._waiting = []
        self._last = time.monotonic()


@contextmanager
def ledger_writer(archive: Archive) -> Iterator[LedgerWriter]:
    """Open a `LedgerWriter` that commits the rest at the end, also after an error."""
    writer = LedgerWriter(archive)
    try:
        yield writer
    finally:
        writer.flush()
