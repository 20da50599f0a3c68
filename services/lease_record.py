"""The object that says who holds an archive in a bucket, read and written conditionally."""

import errno
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pipelines.bucket_path import BucketPath
from pipelines.buckets.opening import bucket_store
from pipelines.buckets.refusals import BucketError, bucket_errors, explain
from services.lock_holder import Holder, to_holder

#: What lies there when nobody holds the archive.
FREE = b"{}\n"


class ChangedError(Exception):
    """The object is not any more as it was read."""


@dataclass(frozen=True)
class State:
    """What an object store tells one state of an object from all others by.

    S3 and Azure go by the tag, Google by the version, which others may leave out.
    """

    e_tag: str | None
    version: str | None

    def condition(self) -> dict[str, str]:
        """Return what to send along for a write only while the object is in this state."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Found:
    """The object as it was read."""

    content: bytes
    state: State
    written: datetime

    @property
    def holder(self) -> Holder | None:
        """Who holds the archive; None where it is free."""
        return to_holder(self.content)

    @property
    def process(self) -> str:
        """Its holder's process, told from all others."""
        with suppress(ValueError, AttributeError):
            return str(json.loads(self.content).get("process", ""))
        return ""


def read_lease(path: BucketPath) -> Found | None:
    """Read the object; None where there is none."""
    import obstore

    try:
        with bucket_errors(path, path.bucket):
            answer = obstore.get(bucket_store(path.bucket), path.key)
            content = answer.bytes().to_bytes()
    except FileNotFoundError:
        return None
    meta = answer.meta
    return Found(content, State(meta["e_tag"], meta["version"]), meta["last_modified"])


def put_lease(path: BucketPath, content: bytes, *, state: State | None) -> State:
    """Write the object if it still is in a state, or, without one, if there is none."""
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    mode: Any = "create" if state is None else state.condition()
    try:
        answer = obstore.put(bucket_store(path.bucket), path.key, content, mode=mode)
    except (AlreadyExistsError, PreconditionError, FileNotFoundError):
        raise ChangedError from None
    except BaseError as error:
        raise BucketError(errno.EIO, explain(error, path.bucket), str(path)) from error
    return State(answer["e_tag"], answer["version"])


def lease_record(holder: Holder) -> bytes:
    """Say who holds the archive, as of now."""
    # To the microsecond: two renewals are never the same object.
    beat = datetime.now(UTC).isoformat(timespec="microseconds")
    record = {**asdict(holder), "heartbeat": beat, "process": _process_mark(holder.pid)}
    return f"{json.dumps(record)}\n".encode()


def is_dead(found: Found) -> bool:
    """Tell a process of this very machine and container that runs no more."""
    holder = found.holder
    if holder is None or not found.process:
        return False
    machine, _, began = found.process.rpartition("/")
    if machine != _machine_mark():
        return False
    return not holder.is_running or _process_mark(holder.pid).rpartition("/")[2] != began


def _process_mark(pid: int) -> str:
    """Name a process so that no other, on any machine and at any time, is called the same."""
    machine = _machine_mark()
    try:
        return f"{machine}/{psutil.Process(pid).create_time():.2f}" if machine else ""
    except psutil.Error:
        return ""


def _machine_mark() -> str:
    """Name this start of this machine, and the space that its numbers of processes are of."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
