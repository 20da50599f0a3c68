"""The log of a job: Ray's own lines, then the verb's progress and its result."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

#: A job has one log for both streams; lines that begin so are the verb's standard output.
RESULT = "result| "
#: Ray begins the log of every job with lines of its own, of which this is the last.
_RAYS_LAST_LINE = "Running entrypoint for job "


def lines_of(chunks: Iterable[str]) -> Iterator[str]:
    r"""Cut what comes in pieces into whole lines, and leave out those of Ray before the verb's.

    Examples
    --------
    >>> list(lines_of(["Running entrypoint for job x: exec pyt", "hon\\none\\nt", "wo\\n"]))
    ['one', 'two']
    """
    rest, begun = "", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            if begun:
                yield line
            begun = begun or line.startswith(_RAYS_LAST_LINE)
    if rest and begun:
        yield rest


def result_lines(lines: Iterable[str]) -> list[str]:
    """Return what the verb wrote to its standard output."""
    return [line.removeprefix(RESULT) for line in lines if line.startswith(RESULT)]


def other_lines(lines: Iterable[str]) -> list[str]:
    """Return what it wrote to its standard error."""
    return [line for line in lines if not line.startswith(RESULT)]


def echo(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, and show those that are not the result on standard error as they come."""
    for line in lines:
        if not line.startswith(RESULT):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        yield line


def read_result(lines: list[str]) -> Any:
    """Return the verb's result: the object, if it is JSON, else its lines."""
    try:
        return json.loads("\n".join(lines))
    except ValueError:
        return lines
