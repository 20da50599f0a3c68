import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError
from services import heartbeat, lock
from services.lock import LockedError, current_holder, hold


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


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


def leave_record(archive, *, host="elsewhere", age_s=0.0, pid=1):
    """What a run on some machine left in the lock file."""
    record = {"pid": pid, "host": host, "verb": "relabel", "since": "2026-01-01T02:30:00+00:00"}
    lock = archive.root / ".lock"
    lock.write_text(json.dumps({**record, "token": "theirs"}))
    os.utime(lock, (lock.stat().st_mtime - age_s,) * 2)
    return lock


@pytest.fixture
def hasty(monkeypatch):
    """Beats and waits that a test can wait for."""
    monkeypatch.setattr(lock, "SETTLE_S", 0.05)
    monkeypatch.setattr(heartbeat, "FIRST_BEAT_S", 0.01)
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.01)


def test_the_record_names_process_machine_and_verb_and_goes_when_the_run_ends(archive):
    path = archive.root / ".lock"

    with hold(archive):
        inside = json.loads(path.read_text())

    assert (inside["pid"], inside["host"]) == (os.getpid(), socket.gethostname())
    assert inside["verb"]
    assert path.read_text() == ""


def test_a_lock_that_another_machine_renewed_lately_is_respected(archive):
    leave_record(archive, age_s=lock.SILENT_S - 60)

    with pytest.raises(LockedError, match=r"process 1 on elsewhere .*\(tessera relabel\).* 120 s"):
        hold(archive).__enter__()


def test_a_lock_that_another_machine_left_silent_is_taken_over_and_that_is_said(
    archive, hasty, capsys
):
    leave_record(archive, age_s=lock.SILENT_S + 60)

    with hold(archive):
        assert current_holder(archive).pid == os.getpid()

    assert "lock of process 1 on elsewhere" in capsys.readouterr().err


def test_a_lock_that_a_dead_machine_still_has_is_taken_over(archive, hasty):
    path = leave_record(archive, age_s=lock.SILENT_S + 60)

    # Its lock is still granted, as a file server does that has not noticed.
    with path.open() as dead:
        fcntl.flock(dead, fcntl.LOCK_EX)
        with hold(archive), pytest.raises(LockedError, match=f"process {os.getpid()}"):
            hold(archive).__enter__()

    assert not list(archive.root.glob(".lock.*"))


def test_of_two_that_take_over_at_once_the_last_has_it(archive, hasty, monkeypatch):
    leave_record(archive, age_s=lock.SILENT_S + 60)
    monkeypatch.setattr(lock.time, "sleep", lambda _: leave_record(archive, host="third"))

    with pytest.raises(LockedError, match="on third"):
        hold(archive).__enter__()


def test_a_lock_whose_holder_died_here_is_free_at_once(archive):
    leave_record(archive, host=socket.gethostname())

    with hold(archive):
        pass


def test_the_heartbeat_renews_the_lock_while_it_is_held(archive, hasty):
    path = archive.root / ".lock"

    with hold(archive):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert path.stat().st_mtime > 0


def wait_in(archive):
    with hold(archive):
        # In the place of our file, which goes on taking our heartbeat unseen.
        (archive.root / ".lock").unlink()
        leave_record(archive, host="usurper")
        time.sleep(30)


def test_a_run_whose_lock_was_taken_over_stops(archive, hasty):
    with pytest.raises(LockedError, match="was taken over by process 1 on usurper"):
        wait_in(archive)

    # It is the other's now, and stays so.
    assert "usurper" in (archive.root / ".lock").read_text()


@pytest.fixture
def without_locks(monkeypatch):
    """A file system that knows no locks."""

    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)


def test_where_the_file_system_has_no_locks_the_record_decides(archive, hasty, without_locks):
    with hold(archive), pytest.raises(LockedError, match=f"process {os.getpid()}"):
        hold(archive).__enter__()

    leave_record(archive, host=socket.gethostname(), pid=2**22 + 1)
    with hold(archive):
        pass


def test_nobody_holds_an_archive_whose_holder_is_gone(archive):
    assert current_holder(archive) is None
    leave_record(archive, host=socket.gethostname(), pid=2**22 + 1)
    assert current_holder(archive) is None
    leave_record(archive, age_s=lock.SILENT_S + 60)
    assert current_holder(archive) is None
    leave_record(archive)
    assert current_holder(archive).host == "elsewhere"
