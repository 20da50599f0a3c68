"""Progress on stderr: how much is done, how fast, how long still."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

T = TypeVar("T")

#: Those who listen are told no more often than this.
TELL_EVERY_S = 1.0


@dataclass(frozen=True)
class Standing:
    """How far some work has come, after so many seconds of it."""

    what: str
    done: int
    total: int
    unit: str
    seconds: float

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def left_s(self) -> float:
        """How long still, if it goes on so; infinite where nothing is done yet."""
        if self.done >= self.total:
            return 0.0
        return (self.total - self.done) / self.rate if self.done else float("inf")


_listeners: list[Callable[[Standing], None]] = []
_readers: list[Callable[[str], None]] = []


@contextmanager
def listening(
    listener: Callable[[Standing], None], reader: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Tell somebody of every progress, for the length of the block.

    Parameters
    ----------
    listener : callable
        Called when work begins, at its end, and about once a second between.
    reader : callable, optional
        Called with every note.
    """
    _listeners.append(listener)
    if reader is not None:
        _readers.append(reader)
    try:
        yield
    finally:
        _listeners.remove(listener)
        if reader is not None:
            _readers.remove(reader)


class Progress:
    """Reports how much is done, the rate, the time left; often on a terminal, else now and then."""

    def __init__(
        self, what: str, total: int, *, unit: str = "tiles", stream: TextIO | None = None
    ) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._start = self._shown = time.monotonic()
        self._done = 0
        self._told = self._start
        self._tell(self._start)

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more as done."""
        self._done += n
        now = time.monotonic()
        last = self._done >= self._total
        if last or now - self._told >= TELL_EVERY_S:
            self._told = now
            self._tell(now)
        if last or now - self._shown >= (0.2 if self._tty else 5.0):
            self._shown = now
            self._show(now, last=last)

    def _show(self, now: float, *, last: bool) -> None:
        standing = self._standing(now)
        text = f"{self._what}: {self._done}/{self._total} {self._unit}, {standing.rate:.3g}/s"
        text += f", {duration(standing.seconds if last else standing.left_s)}"
        text += "" if last else " left"
        end = "\n" if last or not self._tty else ""
        start = "\r\x1b[K" if self._tty else ""
        self._stream.write(f"{start}{text}{end}")
        self._stream.flush()

    def _tell(self, now: float) -> None:
        for listener in _listeners:
            listener(self._standing(now))

    def _standing(self, now: float) -> Standing:
        return Standing(self._what, self._done, self._total, self._unit, now - self._start)


def track(items: Iterable[T], what: str, total: int, *, unit: str = "tiles") -> Iterator[T]:
    """Yield the items and report progress as each is taken."""
    progress = Progress(what, total, unit=unit)
    for item in items:
        yield item
        progress.advance()


def note(text: str) -> None:
    """Say one line on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    for reader in _readers:
        reader(text)


def duration(seconds: float) -> str:
    """Write a duration for people.

    Examples
    --------
    >>> duration(4.2), duration(75), duration(7260)
    ('4s', '1m15s', '2h01m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
