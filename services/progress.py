"""Progress on stderr: how much is done, how fast, how long still."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")


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

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more as done."""
        self._done += n
        now = time.monotonic()
        last = self._done >= self._total
        if last or now - self._shown >= (0.2 if self._tty else 5.0):
            self._shown = now
            self._show(now, last=last)

    def _show(self, now: float, *, last: bool) -> None:
        rate = self._done / max(now - self._start, 1e-9)
        left = max(self._total - self._done, 0) / max(rate, 1e-9)
        text = f"{self._what}: {self._done}/{self._total} {self._unit}, {rate:.3g}/s"
        text += f", {duration(now - self._start)}" if last else f", {duration(left)} left"
        end = "\n" if last or not self._tty else ""
        start = "\r\x1b[K" if self._tty else ""
        self._stream.write(f"{start}{text}{end}")
        self._stream.flush()


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
