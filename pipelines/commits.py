"""Commits to Delta tables whose answer may be lost on the way from a bucket.

A commit is one conditional request. When the connection breaks before its answer is there, only
the table's history can tell whether it was carried out: so every commit carries a mark of its own.
"""

import errno
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines.bucket_path import BucketPath
from pipelines.buckets.refusals import BucketError, explain
from pipelines.places import table_options

#: Key in a commit's metadata.
MARK = "commit_mark"
ATTEMPTS = 4
PAUSE_S = 0.5
#: Others may have committed since; not many, while one holds the archive.
_LOOK_BACK = 50
_guards: list[Callable[[], None]] = []


@contextmanager
def guarded(check: Callable[[], None]) -> Iterator[None]:
    """Ask ``check``, which may raise, before every commit of this process in the block."""
    _guards.append(check)
    try:
        yield
    finally:
        _guards.remove(check)


def commit(path: Path, write: Callable[[dict[str, str]], None]) -> None:
    """Commit once: wholly or not at all.

    Parameters
    ----------
    path : Path
        The table.
    write : callable
        Commits with this metadata beside its own. Called again where the bucket did not answer
        and the commit is not in the table's history.

    Raises
    ------
    BucketError
        If the bucket did not answer, however often it was asked.
    CommitFailedError
        If somebody else committed what this commit cannot go with.
    """
    for check in _guards:
        check()
    if not isinstance(path, BucketPath):
        write({})
        return
    mark = uuid.uuid4().hex
    for attempt in range(ATTEMPTS):
        try:
            write({MARK: mark})
            return
        except (DeltaError, OSError) as error:
            if _is_committed(path, mark):
                return
            if isinstance(error, CommitFailedError) or not _is_lost(error):
                raise
            lost = error
        time.sleep(PAUSE_S * 2**attempt)
        for check in _guards:
            check()
    raise BucketError(errno.EIO, explain(lost, path.bucket), str(path)) from lost


def _is_lost(error: Exception) -> bool:
    """Tell a bucket that did not answer, or not well, from one that refused."""
    text = str(error)
    signs = ("HTTP error", "error sending request", "status code: 5", "status code: 429")
    return any(sign in text for sign in signs)


def _is_committed(path: BucketPath, mark: str) -> bool:
    if not (path / "_delta_log").is_dir():
        return False
    try:
        table = deltalake.DeltaTable(str(path), storage_options=table_options(path))
    except (DeltaError, OSError) as error:
        # To commit again now could be to commit twice.
        raise BucketError(errno.EIO, explain(error, path.bucket), str(path)) from error
    return any(commit.get(MARK) == mark for commit in table.history(_LOOK_BACK))
