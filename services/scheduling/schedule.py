"""The schedule of an archive, and the small file in which the archive remembers it."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pipelines.archive import Archive, write_text
from services.scheduling.slots import next_slot, parse_time, parse_zone

FILE = "schedule.json"


@dataclass(frozen=True)
class Schedule:
    """A nightly slot.

    Attributes
    ----------
    at : str
        Time of day, HH:MM.
    time_zone : str
        Name of the zone.
    watch_dirs : tuple of str
        Folders whose new files are ingested.
    kind : str
        What it was rendered for: cron, systemd or kubernetes.
    """

    at: str
    time_zone: str
    watch_dirs: tuple[str, ...]
    kind: str

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return parse_zone(self.time_zone)

    def next_slot(self, now: datetime) -> datetime:
        """Return the first slot after ``now``, in UTC."""
        return next_slot(parse_time(self.at), self.zone, now)


def write_schedule(archive: Archive, schedule: Schedule) -> None:
    """Let the archive remember its schedule, in the place of an earlier one."""
    write_text(archive.root / FILE, json.dumps(asdict(schedule), indent=1) + "\n")


def read_schedule(archive: Archive) -> Schedule | None:
    """Return the schedule that was rendered last, or None where there was none."""
    try:
        found = json.loads((archive.root / FILE).read_text(encoding="utf-8"))
        return Schedule(**{**found, "watch_dirs": tuple(found["watch_dirs"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def relabel_command(tessera: Sequence[str], archive: Path, schedule: Schedule) -> str:
    """Return the line for a shell that runs a slot: its run id is the date in the zone.

    Parameters
    ----------
    tessera : sequence of str
        The command's full path, perhaps with arguments.
    archive : Path
        The archive.
    schedule : Schedule
        The slot.
    """
    words = [*tessera, "relabel", "--archive", str(archive)]
    for folder in schedule.watch_dirs:
        words += ["--watch-dir", folder]
    # Quoted: a name with a space, a quote or a semicolon is a name and nothing else.
    return f'{shlex.join(words)} --run-id "$(TZ={shlex.quote(schedule.time_zone)} date +%F)"'


def this_tessera() -> list[str]:
    """Return how to run this very installation, wherever a scheduler starts it."""
    beside = Path(sys.executable).parent / "tessera"
    return [str(beside)] if beside.is_file() else [sys.executable, "-m", "services"]
