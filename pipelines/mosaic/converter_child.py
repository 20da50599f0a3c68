"""The process that reads files nobody vouches for: it may loop, leak or die, and only it suffers.

Speaks JSON lines: a `Conversion` per line on standard input; on standard output ``opened`` with
the sizes that the file's header states, then ``done`` or ``refused``. Decoders may write what
they like to the ordinary standard output; the answers travel on a descriptor of their own.
"""

import errno
import json
import logging
import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

from pipelines.errors import MosaicError
from pipelines.mosaic.conversion import UnknownPixelSizeError, convert
from pipelines.mosaic.conversion_job import Conversion

#: Address space beyond what the process has when idle: threads, regions, library code.
ALLOWANCE_BYTES = 1536 << 20
#: Copies of one piece that decoding, turning grey and writing may hold at once.
COPIES = 8
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    """Convert until standard input ends; the one argument is the parent's process id."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    threading.Thread(target=_die_with, args=(int(sys.argv[1]),), daemon=True).start()
    for line in sys.stdin:
        answer(answers, **work(json.loads(line), lambda **event: answer(answers, **event)))


def work(job: dict[str, Any], report: Callable[..., None]) -> dict[str, Any]:
    """Convert one file and say how it went, whatever its reader raised."""
    idle_bytes = limit_memory(ALLOWANCE_BYTES)

    def opened(n_pixels: int, piece_bytes: int) -> None:
        limit_memory(ALLOWANCE_BYTES + COPIES * piece_bytes, idle_bytes)
        report(event="opened", n_pixels=n_pixels)

    try:
        info = convert(Conversion(**job), opened=opened)
    except Exception as error:
        return _refusal(error)
    found = {**asdict(info), "dtype": info.dtype.name, "shape": list(info.shape)}
    return {"event": "done", "info": found}


def limit_memory(allowance_bytes: int, idle_bytes: int | None = None) -> int:
    """Bound this process's address space to what it has (or had) and an allowance more."""
    if idle_bytes is None:
        idle_bytes = _address_space()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = idle_bytes + allowance_bytes
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    return idle_bytes


def answer(stream: TextIO, **event: Any) -> None:
    """Send one JSON line."""
    stream.write(json.dumps(event) + "\n")
    stream.flush()


def _refusal(error: Exception) -> dict[str, Any]:
    if isinstance(error, MosaicError):
        again = isinstance(error, UnknownPixelSizeError)
        return {"event": "refused", "reason": str(error), "again": again}
    if _is_full(error):
        return {"event": "full", "reason": str(error)}
    if isinstance(error, MemoryError):
        reason = "reading it needs more memory than its size explains"
        return {"event": "refused", "reason": reason, "again": True}
    if isinstance(error, PermissionError | FileNotFoundError):
        reason = f"it cannot be read: {error.strerror} ({error.filename})"
        return {"event": "refused", "reason": reason, "again": True}
    what = " ".join(str(error).split())[:200] or "no details"
    reason = f"it is damaged: its reader failed with {type(error).__name__} ({what})"
    return {"event": "refused", "reason": reason}


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        # The Rust writer gives no error number.
        if any(text in str(error) for text in ("No space left", "quota exceeded")):
            return True
        error = error.__cause__ or error.__context__
    return False


def _address_space() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 4 << 30


def _die_with(parent: int) -> None:
    """End with the parent, also when it was killed in the middle of a file."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
