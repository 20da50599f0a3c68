"""What was done to which unit of work: the truth for resuming, kept in a Delta table.

The driver alone appends, in small batches, each an atomic commit.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.tables import append_rows, read_rows, to_table

DONE = "done"
QUARANTINED = "quarantined"


@dataclass(frozen=True)
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


def read_entries(archive: Archive, stage: str, *, status: str | None = None) -> dict[str, Entry]:
    """Return the newest entry of every key of a stage."""
    filters = [("stage", "=", stage)]
    names = list(Entry.__dataclass_fields__)
    rows = read_rows(archive, "ledger", columns=[*names, "at"], filters=filters).sort_by("at")
    entries = {row["key"]: Entry(**{n: row[n] for n in names}) for row in rows.to_pylist()}
    return {key: e for key, e in entries.items() if status is None or e.status == status}


def append_entries(archive: Archive, entries: Iterable[Entry]) -> None:
    """Append entries in one commit; nothing to append makes no commit."""
    now = datetime.now(UTC)
    rows = [{**entry.__dict__, "at": now} for entry in entries]
    if rows:
        append_rows(archive, "ledger", to_table("ledger", rows))


class LedgerWriter:
    """Collects entries and commits them when enough have come or enough time has passed."""

    def __init__(self, archive: Archive, *, every_n: int = 256, every_s: float = 2.0) -> None:
        self._archive = archive
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
        append_entries(self._archive, self._waiting)
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
