import shutil
import subprocess
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from pipelines.errors import SettingsError
from services.scheduling import slots
from services.scheduling.slots import next_slot, parse_time, parse_zone, skipped_days

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "text", ["2:30", "24:00", "12:60", "0230", "02:30:00", "noon", "", " 02:30"]
)
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(SettingsError, match="--at must be HH:MM"):
        parse_time(text)


@pytest.mark.parametrize(
    "text", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "EST", "right/UTC", ""]
)
def test_a_zone_that_is_none_is_refused(text):
    with pytest.raises(SettingsError, match="--time-zone must be the name"):
        parse_zone(text)


def test_a_machine_without_time_zones_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(slots.zoneinfo, "available_timezones", set)

    with pytest.raises(SettingsError, match="install the package tzdata"):
        parse_zone("Mars/Olympus")


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        # Winter, then the night of the change, then summer: the same time on the clock.
        ("2027-03-26T12:00", "2027-03-27T03:00"),
        ("2027-03-27T12:00", "2027-03-28T02:00"),
        ("2027-03-28T12:00", "2027-03-29T02:00"),
        # And back.
        ("2027-10-30T12:00", "2027-10-31T03:00"),
        # At the slot itself it is the next one's turn.
        ("2027-03-27T03:00", "2027-03-28T02:00"),
        ("2027-03-27T02:59", "2027-03-27T03:00"),
    ],
)
def test_the_next_slot_keeps_to_the_zones_clocks(now, slot):
    found = next_slot(time(4, 0), BERLIN, datetime.fromisoformat(now).replace(tzinfo=UTC))

    assert found == datetime.fromisoformat(slot).replace(tzinfo=UTC)


def test_a_slot_that_the_clocks_skip_comes_later_and_is_foretold():
    now = datetime(2027, 3, 27, 12, 0, tzinfo=UTC)

    slot = next_slot(time(2, 30), BERLIN, now)

    assert slot.astimezone(BERLIN).isoformat() == "2027-03-28T03:30:00+02:00"
    assert skipped_days(time(2, 30), BERLIN, date(2027, 1, 1), n_days=365) == [date(2027, 3, 28)]
    assert skipped_days(time(4, 0), BERLIN, date(2027, 1, 1), n_days=365) == []


def test_a_slot_that_the_clocks_show_twice_comes_once():
    first = next_slot(time(2, 30), BERLIN, datetime(2027, 10, 30, 12, 0, tzinfo=UTC))
    second = next_slot(time(2, 30), BERLIN, first)

    assert first.isoformat() == "2027-10-31T00:30:00+00:00"
    assert second.isoformat() == "2027-11-01T01:30:00+00:00"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
def test_systemd_agrees_on_the_slots_around_a_change_of_the_clocks():
    calendar = ["systemd-analyze", "calendar", "--base-time", "2027-03-26 12:00:00 UTC"]
    said = subprocess.run(
        [*calendar, "--iterations", "3", "*-*-* 04:00:00 Europe/Berlin"],
        capture_output=True, text=True, check=True, env={"LC_ALL": "C", "TZ": "UTC"},
    ).stdout  # fmt: skip

    slot, ours = datetime(2027, 3, 26, 12, 0, tzinfo=UTC), []
    for _ in range(3):
        slot = next_slot(time(4, 0), BERLIN, slot)
        ours.append(f"{slot:%Y-%m-%d %H:%M:%S} UTC")
    assert all(text in said for text in ours), said
