"""``tessera schedule``: what cron, systemd or Kubernetes need to relabel an archive every night."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.archive import Archive, open_archive
from pipelines.errors import SettingsError
from services.outcome import Outcome
from services.progress import note
from services.scheduling.schedule import Schedule, this_tessera, write_schedule
from services.scheduling.slots import parse_time, parse_zone, skipped_days
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Print a schedule that relabels an archive every night; nothing is installed or started.

    All that is printed is a valid file, the last line a comment in it. The archive remembers the
    schedule, so that `tessera status` knows the next slot. Give the time zone: a machine's own
    may not be the laboratory's.
    """

    IN_BUCKETS = False

    at: str = Field(description="time of day (HH:MM) in the time zone")
    time_zone: str = Field(description="name of the zone, such as Europe/Berlin, or UTC")
    print: Literal["cron", "systemd", "kubernetes"] = Field(description="for which program")
    watch_dir: tuple[Path, ...] = Field(
        (), description="folder whose new files are ingested first; repeatable"
    )
    relabel_settings: Path = Field(description="settings file (TOML) that every night reads")
    out: Path | None = Field(
        None, description="also write the files into this folder, which is made if need be"
    )
    log: Path | None = Field(
        None, description="cron: file that takes progress and errors; nightly.log in the archive"
    )
    user: str | None = Field(None, description="systemd: whom it runs as; you by default")
    image: str = Field("tessera-mosaic:latest", description="kubernetes: container image")
    claim: str = Field(
        "tessera-archive",
        pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$",
        description="kubernetes: persistent volume claim of the archive; watched folders are in "
        "CLAIM-watch-1 and so on",
    )


@dataclass(frozen=True)
class Rendered(Outcome):
    """A schedule; its files are wholly valid as printed."""

    files: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the files, and the line of key=value as a comment."""
        return "\n".join([self.screen.rstrip("\n"), f"# {self.line()}"])


def execute(settings: Settings) -> Outcome:
    """Render the schedule, and let the archive remember it."""
    at, zone = parse_time(settings.at), parse_zone(settings.time_zone)
    archive = open_archive(settings.archive)
    watched = []
    for folder in settings.watch_dir:
        if not folder.is_dir():
            raise SettingsError(f"--watch-dir must be a folder, got {str(folder)!r}")
        watched.append(str(folder.absolute()))
    schedule = Schedule(
        settings.at,
        settings.time_zone,
        tuple(watched),
        settings.print,
        _check_nights(archive, settings),
    )
    now = datetime.now(UTC)
    if skipped := skipped_days(at, zone, now.astimezone(zone).date()):
        note(
            f"on {skipped[0]} the clocks of {settings.time_zone} skip {settings.at}: that night "
            "may be left out; a time after 03:00 is safer"
        )
    files = _render(settings, schedule, archive.root)
    if settings.out is not None:
        _write(settings.out, files)
    write_schedule(archive, schedule)
    slot = schedule.next_slot(now)
    return Rendered(
        "scheduled",
        {
            "print": settings.print,
            "at": settings.at,
            "time_zone": settings.time_zone,
            "next": slot.astimezone(zone).isoformat(timespec="minutes"),
            "files": files,
        },
        screen=_screen(files),
        files=files,
    )


def _check_nights(archive: Archive, settings: Settings) -> str:
    """Return the path of the nights' settings; refuse now what would fail every night."""
    path = settings.relabel_settings
    from services.verbs.relabel import Settings as Relabel

    Relabel.load("relabel", path, {"archive": archive.root})
    if settings.print == "kubernetes" and archive.root not in path.absolute().parents:
        raise SettingsError(
            f"--relabel-settings: a container sees the archive alone: keep the file in "
            f"{archive.root}, got {path}"
        )
    return str(path.absolute())


def _render(settings: Settings, schedule: Schedule, archive: Path) -> dict[str, str]:
    """Return the files of the schedule by name."""
    from services.scheduling.cron import render_cron
    from services.scheduling.kubernetes import render_kubernetes
    from services.scheduling.systemd import render_systemd

    for path in (archive, *schedule.watch_dirs, schedule.settings_file, settings.log or ""):
        if any(not sign.isprintable() for sign in str(path)):
            raise SettingsError(f"--archive: no schedule can hold the path {str(path)!r}")
    if settings.print == "cron":
        log = (settings.log or archive / "nightly.log").absolute()
        text = render_cron(schedule, tessera=this_tessera(), archive=archive, log=log)
        return {"tessera.crontab": text}
    if settings.print == "systemd":
        return render_systemd(schedule, tessera=this_tessera(), archive=archive, user=settings.user)
    text = render_kubernetes(schedule, archive=archive, image=settings.image, claim=settings.claim)
    return {"tessera-relabel.yaml": text}


def _screen(files: dict[str, str]) -> str:
    """Return the files one below the other, each with its name above it if there are several."""
    if len(files) == 1:
        return next(iter(files.values()))
    return "\n".join(f"# {name}\n{text}" for name, text in files.items())


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--out: {folder} cannot be written: {error.strerror}") from error
