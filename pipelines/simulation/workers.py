"""Worker processes of our own: simulation needs no cluster, and starts in a second."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """One process, or several that are started afresh; results come in the order of the work."""

    def __init__(self, executor: ProcessPoolExecutor | None, n_workers: int) -> None:
        self._executor = executor
        self._ahead = 2 * n_workers

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Apply a function of a module to items; few are under way at any time."""
        if self._executor is None:
            yield from map(function, items)
            return
        under_way: deque[Future[R]] = deque()
        for item in items:
            under_way.append(self._executor.submit(function, item))
            if len(under_way) > self._ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


@contextmanager
def open_workers(n_workers: int) -> Iterator[Workers]:
    """Start worker processes, and end them; with one worker the work is done right here."""
    if n_workers == 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield Workers(None, 1)
        finally:
            cv2.setNumThreads(threads)
        return
    executor = ProcessPoolExecutor(
        n_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        yield Workers(executor, n_workers)
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Use one core, leave Ctrl-C to the driver, and end when the driver does, however it does."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = multiprocessing.parent_process()
    if driver is not None:
        threading.Thread(target=_end_with, args=(driver.join,), daemon=True).start()


def _end_with(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)
