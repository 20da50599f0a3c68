import json

import pytest

from pipelines.archive import create_archive
from services import progress
from services.live_progress import FILE, read_progress, shown_to_others
from services.progress import Progress


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_others_read_how_much_is_done_how_fast_and_how_long_still(archive, clock):
    with shown_to_others(archive, "t1"):
        work = Progress("segment", 40)
        clock.now += 5
        work.advance(10)
        said = read_progress(archive, "t1")

    assert (said.standing.what, said.standing.done, said.standing.total) == ("segment", 10, 40)
    assert said.standing.rate == 2.0
    assert said.standing.left_s == 15.0


def test_work_that_has_just_begun_is_there_without_a_guess_of_its_end(archive):
    with shown_to_others(archive, "t1"):
        Progress("segment", 40)
        said = read_progress(archive, "t1").to_json()

    assert (said["done"], said["left_s"]) == (0, None)
    json.dumps(said, allow_nan=False)


def test_the_end_of_the_run_leaves_nothing_behind(archive):
    with shown_to_others(archive, "t1"):
        Progress("segment", 40)

    assert read_progress(archive, "t1") is None
    assert not (archive.scratch / FILE).exists()


def test_what_a_killed_run_left_is_not_taken_for_the_present_one(archive):
    with shown_to_others(archive, "dead"):
        Progress("segment", 40)
        left = (archive.scratch / FILE).read_text()
    (archive.scratch / FILE).write_text(left)

    assert read_progress(archive, "alive") is None


def test_a_file_that_holds_something_else_is_no_progress(archive):
    archive.scratch.mkdir()
    (archive.scratch / FILE).write_text("[]")

    assert read_progress(archive, "t1") is None


def test_an_archive_that_cannot_be_written_costs_the_work_nothing(archive):
    archive.scratch.write_text("in the way")

    with shown_to_others(archive, "t1"):
        Progress("segment", 40).advance(40)

    assert read_progress(archive, "t1") is None
