"""What an archive is up to, read from small files and one column of a table: never from pixels."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.bucket_path import BucketPath
from pipelines.labels.table import FLAGGED, PROPOSED
from pipelines.quarantine import Quarantined, list_quarantine
from pipelines.tables import read_rows
from services.champions import Champion, read_champions
from services.label_store import LabelVersion, current_version
from services.live_progress import LiveProgress, read_progress
from services.lock import current_holder
from services.lock_holder import Holder
from services.run_log import RunRecord, last_runs
from services.scheduling.schedule import Schedule, read_schedule

#: Files of a big archive are counted for no longer than this.
COUNT_FOR_S = 0.5


@dataclass(frozen=True)
class DiskUse:
    """Room on the disk that holds the archive.

    ``is_whole`` is False where the archive's files were too many to count in `COUNT_FOR_S`:
    ``archive_bytes`` is then a lower bound. A bucket does not say how much room it has.
    """

    archive_bytes: int
    is_whole: bool
    free_bytes: int | None
    total_bytes: int | None


@dataclass(frozen=True)
class Status:
    """An archive at a glance.

    Attributes
    ----------
    n_mosaics : int
        Mosaics that are wholly there.
    runs : list of RunRecord
        The last ones, newest first.
    holder : Holder or None
        Who holds the archive now.
    progress : LiveProgress or None
        How far that one has come with what it does, as far as it said.
    champions : mapping of str to Champion
        The model version in use, by the model's name.
    labels : LabelVersion or None
        The newest version.
    states : mapping of str to int
        Number of label rows in each state.
    quarantine : list of Quarantined
        What could not be processed.
    disk : DiskUse
        Room taken and left.
    schedule : Schedule or None
        The nightly slot, if one was rendered.
    next_slot : datetime or None
        When it comes next, in UTC.
    """

    n_mosaics: int
    runs: list[RunRecord]
    holder: Holder | None
    progress: LiveProgress | None
    champions: Mapping[str, Champion]
    labels: LabelVersion | None
    states: Mapping[str, int]
    quarantine: list[Quarantined]
    disk: DiskUse
    schedule: Schedule | None
    next_slot: datetime | None

    @property
    def n_to_review(self) -> int:
        """How many labels wait for a person."""
        return self.states.get(FLAGGED, 0) + self.states.get(PROPOSED, 0)


def read_status(archive: Archive, *, n_runs: int, now: datetime | None = None) -> Status:
    """Read what an archive is up to; nothing is written, and no lock is taken.

    Parameters
    ----------
    archive : Archive
        The archive.
    n_runs : int
        How many runs to tell.
    now : datetime, optional
        After which the next slot is; the present by default.
    """
    holder = current_holder(archive)
    schedule = read_schedule(archive)
    return Status(
        n_mosaics=len(archive.mosaic_names()),
        runs=last_runs(archive, n_runs, holder=holder),
        holder=holder,
        progress=read_progress(archive, holder.token) if holder else None,
        champions=read_champions(archive),
        labels=current_version(archive),
        states=count_states(archive),
        quarantine=list_quarantine(archive),
        disk=disk_use(archive),
        schedule=schedule,
        next_slot=schedule.next_slot(now or datetime.now(UTC)) if schedule else None,
    )


def count_states(archive: Archive) -> dict[str, int]:
    """Count the newest labels by state."""
    counts = pc.value_counts(read_rows(archive, "labels", columns=["state"])["state"])
    return {row["values"]: row["counts"] for row in counts.to_pylist()}


def by_stage(cases: list[Quarantined]) -> dict[str, int]:
    """Count what is in quarantine by the stage that failed."""
    return dict(sorted(Counter(case.stage for case in cases).items()))


def disk_use(archive: Archive, *, for_s: float = COUNT_FOR_S) -> DiskUse:
    """Measure the archive's files and the room beside them, for a limited time."""
    deadline = time.monotonic() + for_s
    total, is_whole = 0, True
    root = archive.root
    for size in root.sizes() if isinstance(root, BucketPath) else _file_sizes(root):
        if time.monotonic() > deadline:
            is_whole = False
            break
        total += size
    if isinstance(root, BucketPath):
        return DiskUse(total, is_whole, None, None)
    room = shutil.disk_usage(root)
    return DiskUse(total, is_whole, room.free, room.total)


def _file_sizes(folder: Path) -> Iterator[int]:
    """Give the size of every file below a folder; those that vanish meanwhile do not count."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
