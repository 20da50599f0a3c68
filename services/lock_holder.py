"""Who holds an archive: a record in the lock file."""

import json
import os
import socket
import sys
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import psutil


@dataclass(frozen=True)
class Holder:
    """A process that holds an archive.

    Attributes
    ----------
    pid : int
        Of the process.
    host : str
        Name of its machine.
    verb : str
        What it does.
    since : str
        When it began, as ISO 8601.
    token : str
        Its own, and of this holding alone.
    """

    pid: int
    host: str
    verb: str
    since: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} (tessera {self.verb})"

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_running(self) -> bool:
        """Whether there is a process of its number on this machine."""
        return bool(psutil.pid_exists(self.pid))


def this_process() -> Holder:
    """Describe this process as a holder from now on."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(os.getpid(), socket.gethostname(), _verb(), now, uuid.uuid4().hex)


def read_record(path: Path) -> Holder | None:
    """Read who holds the lock file; None where nobody says so."""
    try:
        return to_holder(path.read_bytes())
    except OSError:
        return None


def to_holder(record: bytes) -> Holder | None:
    """Return the holder that a record names; None where it names none."""
    try:
        read = json.loads(record)
        return Holder(**{name: read[name] for name in Holder.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


def write_record(descriptor: int, holder: Holder) -> None:
    """Write who holds the lock file, as of now."""
    beat = datetime.now(UTC).isoformat(timespec="seconds")
    record = json.dumps({**asdict(holder), "heartbeat": beat}).encode()
    # Over the old record, not after emptying it: a reader in between sees one or the other.
    os.pwrite(descriptor, record, 0)
    os.ftruncate(descriptor, len(record))


def silence_s(path: Path) -> float:
    """Return for how many seconds the lock file was not written.

    By the clock of the file system alone: those of two machines may differ.
    """
    probe = path.with_name(f".lock.{os.getpid()}.probe")
    try:
        probe.write_text("now", encoding="utf-8")
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _verb() -> str:
    """Return the verb on the command line, or the program's name where there is none."""
    context = click.get_current_context(silent=True)
    if context is None:
        return Path(sys.argv[0]).name
    return context.command_path.removeprefix("tessera ")
