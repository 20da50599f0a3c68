"""Every run on an archive, how it ended and why: a line when it begins, a line when it ends."""

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path
from typing import Any

from pipelines.archive import Archive
from pipelines.errors import StorageFullError
from pipelines.places import in_bucket
from services import event_log
from services.lock_holder import Holder
from services.secrets import without_passwords

FILE = "runs.jsonl"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
INTERRUPTED = "interrupted"
#: It began and did not end: killed, or its machine went down.
DIED = "died"
#: Of a long log, the end is enough.
_TAIL_BYTES = 256 * 1024
_MAX_REASON = 500


@dataclass
class RunNote:
    """What a run came to, in a few words."""

    result: str = ""

    def conclude(self, result: str) -> None:
        """Say what the run came to; the last word counts."""
        self.result = result


@dataclass(frozen=True)
class RunRecord:
    """A run on the archive.

    ``how`` is one of running, done, failed, interrupted, died; ``reason`` says why, ``result``
    what it came to.
    """

    token: str
    verb: str
    host: str
    pid: int
    began: datetime
    ended: datetime | None = None
    how: str = DIED
    reason: str = ""
    result: str = ""


@contextmanager
def recorded(archive: Archive, holder: Holder) -> Iterator[RunNote]:
    """Enter a run, and at the end of the block how it ended. The caller holds the archive."""
    began = {"verb": holder.verb, "host": holder.host, "pid": holder.pid}
    _append(archive, {"event": "began", "run": holder.token, **began})
    event_log.enter_run(holder.token, archive=str(archive.root))
    said = RunNote()
    how, reason = DONE, ""
    try:
        yield said
    except BaseException as error:
        how = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_REASON]
        raise
    finally:
        ended = {"how": how, "reason": without_passwords(reason), "result": said.result}
        event_log.leave_run(**ended)
        # What went wrong before must not be hidden by a full disk now.
        with suppress(OSError, StorageFullError):
            _append(archive, {"event": "ended", "run": holder.token, **ended})


def last_runs(archive: Archive, n: int, *, holder: Holder | None = None) -> list[RunRecord]:
    """Return the last runs, newest first.

    Parameters
    ----------
    archive : Archive
        The archive.
    n : int
        How many.
    holder : Holder, optional
        Who holds the archive now: that run has not died.
    """
    runs: dict[str, RunRecord] = {}
    for line in _tail(archive.root / FILE):
        with suppress(ValueError, KeyError, TypeError):
            _enter(runs, json.loads(line), holder)
    return list(runs.values())[::-1][:n]


def _enter(runs: dict[str, RunRecord], line: Mapping[str, Any], holder: Holder | None) -> None:
    """Add what a line says of a run."""
    at, token = datetime.fromisoformat(line["at"]), line["run"]
    if line["event"] == "began":
        how = RUNNING if holder and holder.token == token else DIED
        who = {name: line[name] for name in ("verb", "host", "pid")}
        runs[token] = RunRecord(token, began=at, how=how, **who)
    elif token in runs:
        said = {name: line[name] for name in ("how", "reason", "result")}
        runs[token] = RunRecord(**{**vars(runs[token]), "ended": at, **said})


def _append(archive: Archive, record: Mapping[str, Any]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if in_bucket(archive.root):
        # Nobody else writes: whoever enters a run holds the archive.
        with (archive.root / FILE).open("ab") as whole:
            whole.write(f"{json.dumps({'at': now, **record})}\n".encode())
        return
    try:
        with (archive.root / FILE).open("a+b", buffering=0) as file:
            # A line that a full disk left unfinished must not swallow this one.
            start = "\n" if file.seek(0, 2) and not _ends_line(file) else ""
            file.write(f"{start}{json.dumps({'at': now, **record})}\n".encode())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"no space left on the disk that holds archive {archive.root}"
            ) from error
        raise


def _ends_line(file: RawIOBase) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL_BYTES, 0))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
