import json

import pytest

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from pipelines.segmentation.tile_task import EndedTile, TileResult
from services import event_log
from services.event_log import logging_to
from services.lock import hold
from services.outcome import Outcome
from services.progress import Progress, note


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_verb_that_ends_well_leaves_its_beginning_its_end_and_its_result(log):
    with logging_to(log, "segment") as ended:
        ended(Outcome("segmented", {"tiles": 4}))

    began, end = lines(log)
    assert (began["event"], end["event"]) == ("verb_began", "verb_ended")
    assert {line["verb"] for line in (began, end)} == {"segment"}
    assert (end["how"], end["status"], end["said"]) == ("done", 0, "segmented tiles=4")
    assert end["time"] >= began["time"]


def broken_off(log, error):
    with logging_to(log, "train"):
        raise error


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (SettingsError("no such flag"), "refused"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("no way"), "failed"),
    ],
)
def test_a_verb_that_breaks_off_says_how_and_why(log, error, how):
    with pytest.raises(type(error)):
        broken_off(log, error)

    end = lines(log)[-1]
    assert end["how"] == how
    assert end["reason"].startswith(type(error).__name__)


def test_events_while_an_archive_is_held_carry_the_run(log, tmp_path):
    archive = create_archive(tmp_path / "a")

    with logging_to(log, "segment"):
        note("before")
        with hold(archive):
            note("during")
        note("after")

    found = lines(log)
    of_notes = {line["text"]: line.get("run") for line in found if line["event"] == "note"}
    (began,) = [line for line in found if line["event"] == "run_began"]
    assert began["archive"] == str(archive.root)
    assert of_notes == {"before": None, "during": began["run"], "after": None}


def test_a_tile_says_where_it_was_worked_on_and_what_became_of_it(log):
    lost = TileResult("failed", attempts=3, seconds=0.25, reason="too dark", worker="node7:12")

    with logging_to(log, "segment"):
        event_log.tile_ended("segment", EndedTile("m", "y0-64_x0-64", lost))

    (tile,) = [line for line in lines(log) if line["event"] == "tile"]
    names = ("mosaic", "tile", "worker", "status", "attempts", "reason")
    assert {name: tile[name] for name in names} == {
        "mosaic": "m",
        "tile": "y0-64_x0-64",
        "worker": "node7:12",
        "status": "failed",
        "attempts": 3,
        "reason": "too dark",
    }


def test_progress_is_told_at_its_ends_and_only_now_and_then_between(log):
    with logging_to(log, "segment"):
        progress = Progress("segment", 500)
        for _ in range(500):
            progress.advance()

    told = [line["done"] for line in lines(log) if line["event"] == "progress"]
    assert told == [0, 500]


def test_no_password_reaches_the_file(log, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "open-sesame")

    with logging_to(log, "train"):
        note("refused: open-sesame at https://ada:lovelace@lab.org")

    assert "sesame" not in log.read_text()
    assert "lovelace" not in log.read_text()


def test_a_hostile_name_stays_within_its_line(log):
    with logging_to(log, "train"):
        note('a\n{"event": "verb_ended"}')

    assert [line["event"] for line in lines(log)] == ["verb_began", "note", "verb_ended"]


def test_a_file_that_cannot_be_written_is_refused_before_the_verb_begins(tmp_path):
    with pytest.raises(SettingsError, match=r"--log-file: .* cannot be written: Is a directory"):
        logging_to(tmp_path, "train").__enter__()


def test_a_log_that_is_moved_away_goes_on_in_a_new_file(log, tmp_path):
    with logging_to(log, "train"):
        log.rename(tmp_path / "events.1")
        note("later")

    assert [line["event"] for line in lines(log)] == ["note", "verb_ended"]


def test_without_a_file_nothing_is_logged(tmp_path):
    with logging_to(None, "train"):
        note("unheard")

    assert list(tmp_path.iterdir()) == []
