"""The end of a command: the system frees all at once what Python would free piece by piece."""

import atexit
import logging
import os
import sys
from collections.abc import Callable


def leave_at_once() -> Callable[[int], int]:
    """Let this process end as soon as it has cleaned up after itself.

    With torch, Ray and MLflow loaded, Python takes two seconds to take its modules apart.

    Returns
    -------
    leave_with : callable
        Takes the exit status, and returns it; without it the process ends as any other.
    """
    told: list[int] = []
    # What libraries do at the end is registered later, so it is done before.
    atexit.register(_leave, told)

    def leave_with(status: int) -> int:
        told.append(status)
        return status

    return leave_with


def _leave(told: list[int]) -> None:
    if not told:
        return
    logging.shutdown()
    try:
        for stream in (sys.stdout, sys.stderr):
            # Whoever began this process may have closed one.
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        # Python itself says what is to be said of that.
        return
    os._exit(told[-1])
