"""What happens, as JSON lines for programs that collect logs: one object an event.

Every line has ``time``, ``event``, ``verb``, ``host`` and ``pid``; where they apply ``run`` (the
token of `services.run_log`), ``archive``, ``mosaic``, ``tile`` and ``worker``. Nothing is written
unless a file was named.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import SettingsError, TesseraError
from services.outcome import Outcome
from services.progress import Standing, listening
from services.secrets import without_passwords

if TYPE_CHECKING:
    from pipelines.segmentation.tile_task import EndedTile

#: A log wants progress now and then; a screen wants it more often.
PROGRESS_EVERY_S = 10.0
_MAX_REASON = 500


@dataclass
class EventLog:
    """A file of events, and what all of them have in common."""

    path: Path
    common: dict[str, Any]
    of_run: dict[str, Any] = field(default_factory=dict)
    _progress_at: float = float("-inf")
    _works_on: str = ""

    def write(self, event: str, **fields: Any) -> None:
        """Append an event.

        The file is opened each time, so that it may be moved away and collected meanwhile.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "event": event, **self.common, **self.of_run, **fields}
        text = without_passwords(json.dumps(line, default=str))
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                # One call: lines of several processes in one file do not mix.
                os.write(descriptor, f"{text}\n".encode())
            finally:
                os.close(descriptor)
        except OSError:
            # The disk of the logs may be full or gone; the work goes on.
            return

    def progress(self, standing: Standing) -> None:
        """Append how far some work has come: when it begins, at its end, now and then between."""
        now = time.monotonic()
        is_edge = standing.what != self._works_on or standing.done >= standing.total
        if not is_edge and now - self._progress_at < PROGRESS_EVERY_S:
            return
        self._works_on, self._progress_at = standing.what, now
        self.write("progress", **asdict(standing), rate=standing.rate)


_log: EventLog | None = None


@contextmanager
def logging_to(path: Path | None, verb: str) -> Iterator[Callable[[Outcome], None]]:
    """Append to a file what happens in the block, how the verb ended and why.

    Parameters
    ----------
    path : Path or None
        The file; None for no log.
    verb : str
        What is done.

    Yields
    ------
    ended : callable
        Takes the verb's outcome.

    Raises
    ------
    SettingsError
        If the file cannot be written.
    """
    global _log
    if path is None:
        yield lambda outcome: None
        return
    _check(path)
    log = EventLog(
        path.absolute(), {"verb": verb, "host": socket.gethostname(), "pid": os.getpid()}
    )
    before, _log = _log, log
    started = time.monotonic()
    outcomes: list[Outcome] = []
    how, reason = "done", ""
    log.write("verb_began")
    try:
        with listening(log.progress, lambda text: log.write("note", text=text)):
            yield outcomes.append
    except BaseException as error:
        how = _how(error)
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_REASON]
        raise
    finally:
        said = {"status": outcomes[0].status, "said": outcomes[0].line()} if outcomes else {}
        failed = {"reason": reason} if reason else {}
        seconds = round(time.monotonic() - started, 3)
        log.write("verb_ended", how=how, seconds=seconds, **said, **failed)
        _log = before


def write(event: str, **fields: Any) -> None:
    """Append an event to the log, if there is one."""
    if _log is not None:
        _log.write(event, **fields)


def enter_run(token: str, *, archive: str) -> None:
    """Say that an archive is held from now on; events until `leave_run` carry the run's token."""
    if _log is not None:
        _log.of_run = {"run": token, "archive": archive}
        _log.write("run_began")


def leave_run(*, how: str, reason: str, result: str) -> None:
    """Say how the run on the archive ended."""
    if _log is not None:
        _log.write("run_ended", how=how, reason=reason, result=result)
        _log.of_run = {}


def tile_ended(stage: str, tile: "EndedTile") -> None:
    """Append what became of a tile."""
    if _log is None:
        return
    result = tile.result
    _log.write(
        "tile",
        stage=stage,
        mosaic=tile.mosaic,
        tile=tile.unit,
        worker=result.worker,
        status=result.status,
        seconds=round(result.seconds, 4),
        attempts=result.attempts,
        bytes=result.n_bytes,
        **({"reason": result.reason[:_MAX_REASON]} if result.reason else {}),
    )


def _how(error: BaseException) -> str:
    """Tell a verb that was refused from one that broke off."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "refused" if isinstance(error, TesseraError) else "failed"


def _check(path: Path) -> None:
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise SettingsError(f"--log-file: {path} cannot be written: {error.strerror}") from error
