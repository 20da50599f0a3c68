"""Convert many files in a few child processes, each used until it dies, each watched.

A child is sent one file at a time. It is given a minute to understand the header, then time that
grows with the number of pixels; one that takes longer is ended, one that dies is replaced, and
the file is refused with the reason. Nothing but JSON and finished mosaics comes back.
"""

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import StorageFullError
from pipelines.mosaic.conversion_job import Conversion

OPEN_S = 60.0
#: Slower than the slowest disk and decoder that anybody will wait for.
SLOWEST_PX_PER_S = 2e6
MAX_ATTEMPTS = 2
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Converted:
    """How a conversion ended: ``info`` of the mosaic, or the ``reason`` why there is none."""

    job: Conversion
    info: dict[str, Any] | None
    reason: str = ""
    #: The reason may be gone next time (memory, time, access).
    may_pass_later: bool = False
    attempts: int = 1
    seconds: float = 0.0


def convert_all(jobs: Iterable[Conversion], *, n_children: int) -> Iterator[Converted]:
    """Convert files in child processes; yield each as it ends.

    Raises
    ------
    StorageFullError
        If the disk is full; the children have ended by then.
    """
    todo: queue.SimpleQueue[Conversion] = queue.SimpleQueue()
    n_jobs = 0
    for job in jobs:
        todo.put(job)
        n_jobs += 1
    ended: queue.SimpleQueue[Converted | BaseException] = queue.SimpleQueue()
    children = [_Child() for _ in range(min(n_children, n_jobs))]
    threads = [
        threading.Thread(target=_serve, args=(child, todo, ended), daemon=True)
        for child in children
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(n_jobs):
            outcome = ended.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        for child in children:
            child.stop()
        for thread in threads:
            thread.join()


def _serve(
    child: "_Child",
    todo: "queue.SimpleQueue[Conversion]",
    ended: "queue.SimpleQueue[Converted | BaseException]",
) -> None:
    """Feed one child until nothing is left to do."""
    try:
        while not child.closed:
            try:
                job = todo.get_nowait()
            except queue.Empty:
                break
            ended.put(child.convert(job))
    except BaseException as error:
        ended.put(error)
    finally:
        child.end()


class _Child:
    """One child process; started when first needed, and again after it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._lock = threading.Lock()
        self.closed = False

    def convert(self, job: Conversion) -> Converted:
        """Convert a file; a child that dies over it is given one more try."""
        start = time.monotonic()
        event, attempts = self._attempt(job), 1
        while event["event"] == "died" and attempts < MAX_ATTEMPTS and not self.closed:
            event, attempts = self._attempt(job), attempts + 1
        if event["event"] == "full":
            raise StorageFullError(
                f"no space left on the disk that holds {job.folder} ({event['reason']})"
            )
        return Converted(
            job,
            event.get("info"),
            reason=event.get("reason", ""),
            may_pass_later=bool(event.get("again")),
            attempts=attempts,
            seconds=time.monotonic() - start,
        )

    def stop(self) -> None:
        """Kill the child, also in the middle of a file; whoever waits for it sees it end."""
        with self._lock:
            self.closed = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """End the child and forget it; only for the thread that uses it."""
        with self._lock:
            self._end()

    def _attempt(self, job: Conversion) -> dict[str, Any]:
        limit_s = OPEN_S
        try:
            process = self._running()
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
            process.stdin.flush()
            while True:
                event = self._next_event(process, time.monotonic() + limit_s)
                if event is None:
                    self.end()
                    reason = f"reading it took longer than {limit_s:.0f} s"
                    return {"event": "late", "reason": reason, "again": True}
                if event["event"] != "opened":
                    return event
                limit_s = OPEN_S + event["n_pixels"] / SLOWEST_PX_PER_S
        except (BrokenPipeError, EOFError):
            return {"event": "died", "reason": self._cause_of_death(), "again": True}

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self.closed:
                raise EOFError
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._process = _start()
                self._pending = b""
            return self._process

    def _next_event(
        self, process: "subprocess.Popen[bytes]", deadline: float
    ) -> dict[str, Any] | None:
        """Return the child's next line; None when its time is over."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    raise EOFError
                self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def _cause_of_death(self) -> str:
        status = self._process.wait() if self._process is not None else 0
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"its reader died ({how})"

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # What was not sent to a dead child cannot be flushed.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process = None


def _start() -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        # Every arena reserves address space, which is what is limited.
        "MALLOC_ARENA_MAX": "2",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.mosaic.converter_child", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        # Ctrl-C is for the parent, which then ends its children.
        start_new_session=True,
    )
