import os
import signal
import subprocess
import sys

import pytest

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError
from services.lock import LockedError, hold

HOLDER = """
import sys
from pathlib import Path
from pipelines.archive import open_archive
from services.lock import hold
with hold(open_archive(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


@pytest.fixture
def holder(archive):
    """Another process that holds the archive until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(archive.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_archive(archive, holder):
    with pytest.raises(LockedError, match=f"is held by process {holder.pid} on .* since 20"):
        hold(archive).__enter__()


def test_the_archive_is_free_when_its_holder_ends(archive, holder):
    holder.communicate()

    with hold(archive):
        pass


def test_the_archive_is_free_when_its_holder_is_killed(archive, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    with hold(archive):
        pass


def test_a_process_cannot_hold_an_archive_twice(archive):
    with hold(archive), pytest.raises(LockedError, match=f"is held by process {os.getpid()}"):
        hold(archive).__enter__()

    with hold(archive):
        pass


def test_an_error_inside_frees_the_archive(archive):
    with pytest.raises(RuntimeError), hold(archive):
        raise RuntimeError

    with hold(archive):
        pass


def test_a_program_that_the_holder_starts_does_not_hold_on(archive):
    with hold(archive):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with hold(archive):
            pass
    finally:
        child.kill()
        child.wait()


def test_who_holds_it_may_be_unreadable(archive):
    with hold(archive):
        (archive.root / ".lock").write_text("{")
        with pytest.raises(LockedError, match="is held by another process"):
            hold(archive).__enter__()


def test_an_archive_that_cannot_be_written_is_the_callers_mistake(archive):
    (archive.root / ".lock").mkdir()

    with pytest.raises(ArchiveError, match="cannot be written: Is a directory"):
        hold(archive).__enter__()
