"""What a night set out to do and how far it came: a JSON file per run, rewritten at every step."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.archive import Archive, write_text
from pipelines.errors import ArchiveError

RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True)
class StepRecord:
    """A step that is done: digests of what it was given and of what it gave back."""

    name: str
    input: str
    output: str
    seconds: float
    at: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Journal:
    """A night so far.

    Attributes
    ----------
    run_id : str
        Its slot.
    status : {"running", "done", "failed"}
        A night that is said to run while nobody holds the archive was killed.
    reason : str
        Why it failed, or that nothing had changed.
    started, finished : str
        Times in ISO format; ``finished`` is empty until it ended.
    attempts : int
        How often it was started.
    told : str
        The failure that was reported to whoever wants to know.
    steps : tuple of StepRecord
        In the order in which they were done.
    result : mapping
        What the night says of itself in the end.
    """

    run_id: str
    status: str = RUNNING
    reason: str = ""
    started: str = ""
    finished: str = ""
    attempts: int = 0
    told: str = ""
    steps: tuple[StepRecord, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)

    def find(self, name: str, given: str) -> StepRecord | None:
        """Return the record of a step, if it was done with the same input."""
        return next((s for s in self.steps if s.name == name and s.input == given), None)

    def values(self, name: str) -> Mapping[str, Any]:
        """Return what a step gave back; nothing if it was not done."""
        return next((step.values for step in self.steps if step.name == name), {})

    def output(self, name: str) -> str:
        """Return the digest of what a step gave back; empty if it was not done."""
        return next((step.output for step in self.steps if step.name == name), "")

    def with_step(self, record: StepRecord) -> "Journal":
        """Return the journal with a step's record, which replaces an earlier one of the step."""
        others = tuple(step for step in self.steps if step.name != record.name)
        return replace(self, steps=(*others, record))

    def ended(self, status: str, reason: str, result: Mapping[str, Any]) -> "Journal":
        """Return the journal of a night that has ended."""
        return replace(self, status=status, reason=reason, result=result, finished=now())


def now() -> str:
    """Return the time as journals write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_journal(archive: Archive, run_id: str) -> Journal | None:
    """Return the journal of a run, or None where it never began."""
    path = _path(archive, run_id)
    return _read(path) if path.is_file() else None


def write_journal(archive: Archive, journal: Journal) -> None:
    """Keep a journal, whole or not at all."""
    path = _path(archive, journal.run_id)
    path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps(asdict(journal), indent=1, default=str) + "\n")


def list_journals(archive: Archive) -> list[Journal]:
    """Return the journals of all runs, in the order in which they began."""
    folder = archive.root / "nights"
    found = [_read(path) for path in folder.glob("*.json")] if folder.is_dir() else []
    return sorted(found, key=lambda journal: (journal.started, journal.run_id))


def _path(archive: Archive, run_id: str) -> Path:
    return archive.root / "nights" / f"{run_id}.json"


def _read(path: Path) -> Journal:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        steps = tuple(StepRecord(**step) for step in content.pop("steps"))
        return Journal(**content, steps=steps)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"journal {path} is damaged ({error}); move it away") from error
