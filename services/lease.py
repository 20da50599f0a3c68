"""One run at a time per archive in a bucket: an object that its holder renews.

Every step is one conditional request, which the object store carries out for one of those who ask
at the same moment: the object is made only if there is none, and replaced only if it still is as
it was read. A holder that was not heard of for `SILENT_S` loses it to whoever asks next; it stops
by itself before that, and makes no commit once it cannot tell that the archive is still its own.
"""

import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipelines.archive import Archive
from pipelines.bucket_path import BucketPath
from pipelines.buckets.refusals import BucketError
from pipelines.commits import guarded
from pipelines.errors import ArchiveError
from services.lease_record import (
    FREE,
    ChangedError,
    Found,
    State,
    is_dead,
    lease_record,
    put_lease,
    read_lease,
)
from services.lock import SILENT_S, LockedError
from services.lock_holder import Holder
from services.progress import note

FILE = ".lock"
#: Time between two renewals.
RENEW_S = 10.0
#: A holder that could not renew for so long makes no commit any more; well before `SILENT_S`.
UNSURE_S = 80.0
_TRIES = 8


@dataclass
class Lease:
    """The hold of this process on an archive."""

    path: BucketPath
    holder: Holder
    state: State
    renewed: float
    is_lost: bool = False
    taken_by: Holder | None = None
    _renewing: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """See that the archive is still ours; asked before every commit.

        Raises
        ------
        LockedError
            If it is not, or if that cannot be told.
        """
        if not self.is_lost and _now() - self.renewed > UNSURE_S:
            # This machine slept, or was cut off for a while.
            self.renew()
        if self.is_lost:
            raise LockedError(self.why_lost())

    def why_lost(self) -> str:
        """Say in a line what became of the hold."""
        archive = self.path.parent
        if self.taken_by is not None:
            return (
                f"archive {archive} was taken over by {self.taken_by}, as this run was not heard "
                "of for too long"
            )
        return (
            f"archive {archive} is not surely held any more: its bucket did not answer for "
            f"{UNSURE_S:.0f} s; the same command goes on from here"
        )

    def renew(self) -> None:
        """Give a sign of life; find out whether another took over."""
        with self._renewing:
            asked = _now()
            try:
                self.state = put_lease(self.path, lease_record(self.holder), state=self.state)
            except ChangedError:
                now = read_lease(self.path)
                holder = now.holder if now else None
                if now is None or holder is None or holder.token != self.holder.token:
                    self.is_lost, self.taken_by = True, holder
                    return
                # The answer to the renewal before was lost.
                self.state = now.state
            except OSError:
                self.is_lost = self.is_lost or asked - self.renewed > UNSURE_S
                return
            self.renewed = asked

    def renew_until_stopped(self, waiter: int) -> None:
        """Renew now and then; interrupt the thread ``waiter`` if the archive is not ours."""
        while not self._stop.wait(RENEW_S):
            with suppress(OSError):
                self.renew()
            if self.is_lost:
                signal.pthread_kill(waiter, signal.SIGINT)
                return

    def stop(self) -> None:
        """End the renewing, and free the archive if it is ours."""
        self._stop.set()
        if self.is_lost:
            return
        with self._renewing, suppress(ChangedError, OSError):
            put_lease(self.path, FREE, state=self.state)


@contextmanager
def leased(archive: Archive, holder: Holder) -> Iterator[Lease]:
    """Hold an archive in a bucket for the length of the block.

    Raises
    ------
    LockedError
        If another process holds it, or took it from this one.
    ArchiveError
        If the bucket cannot be written.
    """
    assert isinstance(archive.root, BucketPath)
    lease = _acquire(archive.root / FILE, holder)
    # Only the main thread can be interrupted, whichever thread holds the archive.
    waiter = threading.main_thread().ident or 0
    thread = threading.Thread(
        target=lease.renew_until_stopped, args=(waiter,), name="lease", daemon=True
    )
    thread.start()
    try:
        with guarded(lease.check):
            yield lease
    except KeyboardInterrupt:
        if not lease.is_lost:
            raise
        raise LockedError(lease.why_lost()) from None
    finally:
        lease.stop()
        thread.join()


def lease_holder(root: Path) -> Holder | None:
    """Return who holds an archive in a bucket, as far as can be told without writing to it."""
    assert isinstance(root, BucketPath)
    found = read_lease(root / FILE)
    if found is None or found.holder is None or is_dead(found):
        return None
    silent = (datetime.now(UTC) - found.written).total_seconds()
    return found.holder if silent < SILENT_S else None


def _acquire(path: BucketPath, holder: Holder) -> Lease:
    archive = path.parent
    for attempt in range(_TRIES):
        asked = _now()
        found = read_lease(path)
        before = found.holder if found else None
        if found and before and before.token == holder.token:
            # The answer was lost on its way, not the request.
            return Lease(path, holder, found.state, asked)
        silent = _silence_s(path, found, before) if found and before else None
        try:
            state = put_lease(path, lease_record(holder), state=found.state if found else None)
        except ChangedError:
            continue
        except OSError as error:
            if attempt == _TRIES - 1:
                raise ArchiveError(
                    f"archive {archive} cannot be written: {error.strerror}"
                ) from error
            continue
        _check_conditions(path, holder)
        if silent is not None:
            note(f"the lock of {before} is taken over: {silent}")
        return Lease(path, holder, state, asked)
    raise LockedError(f"archive {archive} is wanted by several processes at this moment")


def _check_conditions(path: BucketPath, holder: Holder) -> None:
    """Refuse a store that carries out what it was to carry out under a condition alone.

    Then two runs could hold the archive, and two commits be one version of a table.
    """
    try:
        put_lease(path, lease_record(holder), state=None)
    except (ChangedError, OSError):
        return
    raise ArchiveError(
        f"archive {path.parent}: its object store ignores conditional requests (If-None-Match), "
        "so it cannot keep two runs apart; use one that knows them"
    )


def _silence_s(path: BucketPath, found: Found, before: Holder) -> str:
    """Say why the holder before is gone.

    Raises
    ------
    LockedError
        If it is not.
    """
    if is_dead(found):
        return "it has died on this machine"
    # By the clock of the object store alone: those of two machines may differ.
    probe = path.with_name(f"{FILE}-probe-{uuid.uuid4().hex}")
    try:
        probe.write_text("now")
        now = probe.stat().st_mtime
    except BucketError as error:
        raise ArchiveError(f"archive {path.parent} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    silent = now - found.written.timestamp()
    if silent >= SILENT_S:
        return f"not heard of for {silent:.0f} s"
    raise LockedError(
        f"archive {path.parent} is held by {before}; it may be taken over after {SILENT_S:.0f} s "
        "without a sign of life"
    )


def _now() -> float:
    """Return the time by a clock that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
