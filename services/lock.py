"""One run at a time per archive.

The system's lock on ``.lock`` is released when its holder dies, however it dies. Machines that
share a file system may not share such locks, or not learn of a machine's death: there the
holder's heartbeat decides. A lock that another machine holds and whose heartbeat has been silent
for `SILENT_S` is taken over, and that is said. An archive in a bucket is held by `services.lease`.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.archive import Archive
from pipelines.errors import ArchiveError
from pipelines.places import in_bucket
from services.heartbeat import beating
from services.live_progress import shown_to_others
from services.lock_holder import Holder, read_record, silence_s, this_process, write_record
from services.progress import note
from services.run_log import RunNote, recorded

#: So long without a sign of life, and another machine may take the lock.
SILENT_S = 120.0
#: Two that take over at the same moment both see, after so long, whose record has stayed.
SETTLE_S = 1.0
#: File systems without locks answer so.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class LockedError(Exception):
    """Another run holds the archive."""


@contextmanager
def hold(archive: Archive) -> Iterator[RunNote]:
    """Hold the archive for this process, and enter the run in the archive's log of runs.

    Yields
    ------
    note : RunNote
        Takes what the run came to, for `tessera status`.

    Raises
    ------
    LockedError
        If another process holds it; the message names that process. Also if another machine took
        the lock from this one, because this one was not heard of for so long.
    ArchiveError
        If the archive cannot be written.
    """
    holder = this_process()
    if in_bucket(archive.root):
        from services.lease import leased

        with (
            leased(archive, holder),
            recorded(archive, holder) as run,
            shown_to_others(archive, holder.token),
        ):
            yield run
        return
    path = archive.root / ".lock"
    descriptor = _acquire(archive, path, holder)
    try:
        with (
            recorded(archive, holder) as run,
            beating(path, descriptor, holder) as pulse,
            shown_to_others(archive, holder.token),
        ):
            try:
                yield run
            except KeyboardInterrupt:
                if not pulse.is_lost:
                    raise
                now = read_record(path)
                raise LockedError(
                    f"archive {archive.root} was taken over by {now or 'another process'}, as this "
                    "run was not heard of for too long"
                ) from None
    finally:
        if read_record(path) == holder:
            # Nobody need wait for the heartbeat of one who has left.
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def current_holder(archive: Archive) -> Holder | None:
    """Return who holds the archive, as far as can be told without touching anything."""
    if in_bucket(archive.root):
        from services.lease import lease_holder

        return lease_holder(archive.root)
    path = archive.root / ".lock"
    holder = read_record(path)
    if holder is None:
        return None
    if holder.is_here:
        return holder if holder.is_running else None
    try:
        silent = time.time() - path.stat().st_mtime
    except OSError:
        return None
    return holder if silent < SILENT_S else None


def _acquire(archive: Archive, path: Path, holder: Holder) -> int:
    """Return the descriptor of the lock file, locked and with our record in it."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            reason = error.strerror
            raise ArchiveError(f"archive {archive.root} cannot be written: {reason}") from error
        try:
            answer = _lock(descriptor)
            if answer == "locked" and not _is_still(path, descriptor):
                # Replaced between opening and locking: this is nobody's lock any more.
                os.close(descriptor)
                continue
            before = read_record(path)
            silent = _check_free(archive, path, before, answer)
            if answer == "refused":
                refused, descriptor = descriptor, _replace(path)
                os.close(refused)
            write_record(descriptor, holder)
            if silent is not None or answer == "unknown":
                _settle(archive, path, holder)
        except BaseException:
            os.close(descriptor)
            raise
        if silent is not None:
            note(f"the lock of {before} is taken over: not heard of for {silent:.0f} s")
        return descriptor


def _lock(descriptor: int) -> str:
    """Ask the system: it grants the lock, refuses it, or knows no locks on this file system."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "refused"
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return "unknown"
    return "locked"


def _check_free(archive: Archive, path: Path, before: Holder | None, answer: str) -> float | None:
    """Return since when the holder before is silent, if the lock is to be taken from it."""
    if before is None:
        if answer == "refused":
            raise LockedError(f"archive {archive.root} is held by another process")
        return None
    if before.is_here and answer == "refused":
        raise LockedError(f"archive {archive.root} is held by {before}")
    if before.is_here and (answer == "locked" or not before.is_running):
        # It died on this machine: the system has let go of its lock.
        return None
    if (silent := silence_s(path)) >= SILENT_S:
        return silent
    raise LockedError(
        f"archive {archive.root} is held by {before}; it may be taken over after {SILENT_S:.0f} s "
        "without a sign of life"
    )


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _replace(path: Path) -> int:
    """Put a lock file of our own in the place of one whose holder's machine is gone."""
    own = path.with_name(f".lock.{os.getpid()}.partial")
    descriptor = os.open(own, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    own.replace(path)
    return descriptor


def _settle(archive: Archive, path: Path, holder: Holder) -> None:
    """Let all who took over at this moment see who did so last: that one has it."""
    time.sleep(SETTLE_S)
    if (now := read_record(path)) != holder:
        raise LockedError(f"archive {archive.root} is held by {now or 'another process'}")
