"""A sign of life, given now and then for as long as a lock is held."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.lock_holder import Holder, read_record, write_record

#: Time between two signs of life.
BEAT_S = 10.0
#: The first comes sooner: two machines that began at the same moment must see each other.
FIRST_BEAT_S = 1.0


@dataclass
class Pulse:
    """Whether the lock is still ours."""

    is_lost: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, path: Path, descriptor: int, holder: Holder, waiter: int) -> None:
        """Renew the record until stopped; interrupt ``waiter`` if it is another's now."""
        wait = FIRST_BEAT_S
        while not self._stop.wait(wait):
            wait = BEAT_S
            now = read_record(path)
            if now is not None and now.token != holder.token:
                # This machine slept, or was cut off, for so long that another took over.
                self.is_lost = True
                signal.pthread_kill(waiter, signal.SIGINT)
                return
            try:
                write_record(descriptor, holder)
            except OSError:
                # A full or absent disk: the run itself will say so, if it lasts.
                continue

    def stop(self) -> None:
        """End the renewing."""
        self._stop.set()


@contextmanager
def beating(path: Path, descriptor: int, holder: Holder) -> Iterator[Pulse]:
    """Renew the record in a lock file for the length of the block.

    Parameters
    ----------
    path : Path
        The lock file.
    descriptor : int
        It, opened.
    holder : Holder
        Who holds it.
    """
    pulse = Pulse()
    # Only the main thread can be interrupted, whichever thread holds the lock.
    waiter = threading.main_thread().ident or 0
    thread = threading.Thread(
        target=pulse.run,
        args=(path, descriptor, holder, waiter),
        name="heartbeat",
        daemon=True,
    )
    thread.start()
    try:
        yield pulse
    finally:
        pulse.stop()
        thread.join()
