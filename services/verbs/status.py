"""``tessera status``: an archive at a glance."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings

if TYPE_CHECKING:
    from services.live_progress import LiveProgress
    from services.run_log import RunRecord
    from services.status import Status

_MAX_REASON = 60
#: Work that was not heard of for so long may hang, or a piece of it takes long.
_SILENT_S = 60.0


class Settings(ArchiveSettings):
    """Show an archive at a glance: what runs, runs, champion, labels, quarantine, disk, next slot.

    The champion is the one that was promoted from this archive; `tessera models list` asks the
    registry itself.
    """

    runs: int = Field(6, ge=1, le=1000, description="how many of the last runs to show")


def execute(settings: Settings) -> Outcome:
    """Read the archive's state."""
    archive = open_archive(settings.archive)
    from services.status import read_status

    status = read_status(archive, n_runs=settings.runs)
    return Outcome("read", _values(status), screen=_screen(status, datetime.now(UTC)))


def _values(status: "Status") -> dict[str, Any]:
    """Return the status for scripts."""
    from services.status import by_stage

    last = status.runs[0] if status.runs else None
    return {
        "mosaics": status.n_mosaics,
        "last_run": last.verb if last else "none",
        "ended": last.how if last else "none",
        "label_version": status.labels.version if status.labels else "none",
        "to_review": status.n_to_review,
        "in_quarantine": len(status.quarantine),
        "free_bytes": "unknown" if status.disk.free_bytes is None else status.disk.free_bytes,
        "next": status.next_slot.isoformat(timespec="minutes") if status.next_slot else "none",
        "holder": asdict(status.holder) if status.holder else {},
        "progress": status.progress.to_json() if status.progress else {},
        "runs": [_run(run) for run in status.runs],
        "champions": {name: asdict(champion) for name, champion in status.champions.items()},
        "labels": _labels(status),
        "quarantine": by_stage(status.quarantine),
        "disk": asdict(status.disk),
        "schedule": asdict(status.schedule) if status.schedule else {},
    }


def _run(run: "RunRecord") -> dict[str, Any]:
    ended = run.ended.isoformat() if run.ended else None
    return {**vars(run), "began": run.began.isoformat(), "ended": ended}


def _labels(status: "Status") -> dict[str, Any]:
    labels = status.labels
    if labels is None:
        return {}
    told = ("version", "digest", "parent_version", "method", "author", "n_rows", "n_labelled")
    values = {name: getattr(labels, name) for name in told}
    return {**values, "at": labels.at.isoformat(), "states": dict(status.states)}


def _screen(status: "Status", now: datetime) -> str:
    from services.screens import columns

    rows = [
        ("running", str(status.holder) if status.holder else "nothing"),
        *_progress_rows(status, now),
        *_champion_rows(status),
        ("labels", _label_text(status)),
        ("to review", _review_text(status)),
        ("quarantine", _quarantine_text(status)),
        ("disk", _disk_text(status)),
        ("next slot", _slot_text(status)),
    ]
    runs = [_run_row(run, now) for run in status.runs]
    lines = ["last runs", *(f"  {line}" for line in columns(runs).splitlines() if runs)]
    return "\n".join([columns(rows), "", *(lines if runs else ["no runs yet"])])


def _progress_rows(status: "Status", now: datetime) -> Sequence[tuple[str, str]]:
    return [("progress", _progress_text(status.progress, now))] if status.progress else []


def _progress_text(progress: "LiveProgress", now: datetime) -> str:
    from services.progress import duration

    standing = progress.standing
    said = f"{standing.what}: {standing.done}/{standing.total} {standing.unit}"
    if standing.done:
        said += f", {standing.rate:.3g}/s, {duration(standing.left_s)} left"
    silent_s = (now - progress.at).total_seconds()
    return f"{said}; no news for {duration(silent_s)}" if silent_s > _SILENT_S else said


def _champion_rows(status: "Status") -> Sequence[tuple[str, str]]:
    if not status.champions:
        return [("champion", "none: tessera models promote makes one")]
    return [
        ("champion", f"{name}/{c.version} since {_minute(c.since)}, by {c.author}{_why(c.reason)}")
        for name, c in status.champions.items()
    ]


def _label_text(status: "Status") -> str:
    labels = status.labels
    if labels is None:
        return "none yet"
    made = f"{_minute(labels.at.isoformat())} by {labels.author} ({labels.method})"
    return f"version {labels.version}: {labels.n_labelled} particles, {made}"


def _review_text(status: "Status") -> str:
    if not status.n_to_review:
        return "nothing"
    flagged, proposed = status.states.get("flagged", 0), status.states.get("proposed", 0)
    return f"{status.n_to_review} labels: {proposed} proposed, {flagged} flagged"


def _quarantine_text(status: "Status") -> str:
    from services.status import by_stage

    if not status.quarantine:
        return "empty"
    counts = ", ".join(f"{stage} {n}" for stage, n in by_stage(status.quarantine).items())
    first = status.quarantine[0]
    return f"{counts}; such as {first.unit or first.mosaic}: {_short(first.reason)}"


def _disk_text(status: "Status") -> str:
    disk = status.disk
    taken = f"{'' if disk.is_whole else 'at least '}{_bytes(disk.archive_bytes)}"
    if disk.free_bytes is None or disk.total_bytes is None:
        return f"{taken} taken in the bucket"
    return f"{taken} taken, {_bytes(disk.free_bytes)} of {_bytes(disk.total_bytes)} free"


def _slot_text(status: "Status") -> str:
    if status.schedule is None or status.next_slot is None:
        return "none: tessera schedule makes one"
    local = status.next_slot.astimezone(status.schedule.zone)
    return f"{local:%Y-%m-%d %H:%M} {status.schedule.time_zone} ({status.schedule.kind})"


def _run_row(run: "RunRecord", now: datetime) -> tuple[str, ...]:
    from services.progress import duration

    took = duration(((run.ended or now) - run.began).total_seconds())
    said = run.reason or run.result
    return (_minute(run.began.isoformat()), run.verb, run.how, took, _short(said))


def _why(reason: str) -> str:
    return f": {_short(reason)}" if reason else ""


def _short(text: str) -> str:
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 3]}..."


def _minute(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
