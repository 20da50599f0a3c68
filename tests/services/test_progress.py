import io

import pytest

from services import progress
from services.progress import Progress, duration, note, track


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock):
    stream = io.StringIO()
    shown = Progress("segment", 10, stream=stream)

    for _ in range(10):
        clock.now += 2
        shown.advance()

    assert stream.getvalue().splitlines() == [
        "segment: 3/10 tiles, 0.5/s, 14s left",
        "segment: 6/10 tiles, 0.5/s, 8s left",
        "segment: 9/10 tiles, 0.5/s, 2s left",
        "segment: 10/10 tiles, 0.5/s, 20s",
    ]


def test_a_terminal_redraws_one_line(clock):
    stream = Terminal()
    shown = Progress("ingest", 2, unit="files", stream=stream)

    clock.now += 1
    shown.advance()
    clock.now += 1
    shown.advance()

    assert stream.getvalue() == (
        "\r\x1b[Kingest: 1/2 files, 1/s, 1s left\r\x1b[Kingest: 2/2 files, 1/s, 2s\n"
    )


def test_no_time_at_all_is_no_error(clock):
    stream = io.StringIO()

    Progress("x", 1, stream=stream).advance()

    assert stream.getvalue().count("\n") == 1


def test_tracked_items_come_through_and_are_counted(capsys):
    assert list(track(iter("abc"), "reading", 3, unit="files")) == ["a", "b", "c"]

    shown = capsys.readouterr()
    assert "reading: 3/3 files" in shown.err
    assert shown.out == ""


def test_an_item_counts_when_it_is_done_and_not_when_it_is_taken(capsys):
    items = track("ab", "reading", 2)

    assert next(items) + next(items) == "ab"
    assert "2/2" not in capsys.readouterr().err


def test_notes_go_to_stderr(capsys):
    note("two seams are uncertain")

    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "two seams are uncertain\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (3599.4, "59m59s"),
        (3599.6, "1h00m"),
        (90061, "25h01m"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text
