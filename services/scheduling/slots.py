"""Slots of a schedule: a time of day in a time zone, whatever the zone's clocks do."""

import re
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipelines.errors import SettingsError

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def parse_time(text: str) -> time:
    """Read a time of day.

    Raises
    ------
    SettingsError
        If it is not HH:MM, 00:00 to 23:59.

    Examples
    --------
    >>> parse_time("02:30")
    datetime.time(2, 30)
    """
    found = _TIME.fullmatch(text)
    if not found:
        raise SettingsError(f"--at must be HH:MM, 00:00 to 23:59, got {text!r}")
    return time(int(found[1]), int(found[2]))


def parse_zone(text: str) -> ZoneInfo:
    """Find a time zone by its name in the IANA database.

    Raises
    ------
    SettingsError
        If there is none of that name, or this machine knows no zones at all.
    """
    try:
        # Of abbreviations and of other editions of the database, not every scheduler knows.
        if text == "UTC" or ("/" in text and not text.startswith(("posix/", "right/"))):
            return ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if not zoneinfo.available_timezones():
            raise SettingsError(
                f"--time-zone {text!r} is not known, as this machine has no time zones: install "
                "the package tzdata"
            ) from None
    raise SettingsError(
        f"--time-zone must be the name of a place's zone, such as Europe/Berlin, or UTC, got "
        f"{text!r}"
    )


def next_slot(at: time, zone: ZoneInfo, now: datetime) -> datetime:
    """Return the first slot after ``now``, in UTC.

    A slot that the clocks skip comes as much later as they are put forward; one that they show
    twice comes the first time.

    Parameters
    ----------
    at : datetime.time
        Time of day.
    zone : ZoneInfo
        Where.
    now : datetime
        With a time zone.

    Examples
    --------
    >>> now = datetime(2027, 3, 27, 12, 0, tzinfo=UTC)
    >>> next_slot(time(4, 0), ZoneInfo("Europe/Berlin"), now).isoformat()
    '2027-03-28T02:00:00+00:00'
    """
    day = now.astimezone(zone).date()
    slot = _on(day, at, zone)
    # Twice at most: the slot of a day may lie a little beside it where clocks change.
    while slot <= now:
        day += timedelta(days=1)
        slot = _on(day, at, zone)
    return slot


def skipped_days(at: time, zone: ZoneInfo, first: date, *, n_days: int = 400) -> list[date]:
    """Return the days on which the clocks skip the time of day, and a scheduler may skip the run.

    Examples
    --------
    >>> skipped_days(time(2, 30), ZoneInfo("Europe/Berlin"), date(2027, 1, 1))
    [datetime.date(2027, 3, 28)]
    """
    days = [first + timedelta(days=i) for i in range(n_days)]
    return [day for day in days if _on(day, at, zone).astimezone(zone).time() != at]


def _on(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)
