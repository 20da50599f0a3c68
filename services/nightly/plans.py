"""What a night set out to do, and how the last one left the archive: files beside the journals.

They are as large as the watched folders are full, so that there is one of each and not one per
night of a year.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.archive import Archive, write_text
from pipelines.digests import digest_json
from pipelines.places import remove_tree
from services.nightly.changes import Change, Snapshot


@dataclass(frozen=True)
class Plan:
    """What was found when a night began; a night that goes on after a crash keeps to it.

    Attributes
    ----------
    changes : tuple of Change
        Since the last night.
    before, now : Snapshot
        How the last night left the archive, and how this one found it.
    quarantine : tuple of mapping
        Cases that were there already.
    """

    changes: tuple[Change, ...]
    before: Snapshot
    now: Snapshot
    quarantine: tuple[Mapping[str, Any], ...]

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        return digest_json(asdict(self))


def write_plan(archive: Archive, run_id: str, plan: Plan) -> None:
    """Keep the plan of a night."""
    _write(_plans(archive) / f"{run_id}.json", asdict(plan))


def read_plan(archive: Archive, run_id: str) -> Plan | None:
    """Return the plan of a night that is not finished, or None where there is none."""
    path = _plans(archive) / f"{run_id}.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return Plan(
        tuple(Change(**change) for change in content["changes"]),
        Snapshot(**content["before"]),
        Snapshot(**content["now"]),
        tuple(content["quarantine"]),
    )


def forget_plans(archive: Archive) -> None:
    """Forget all plans: after a finished night, what others had planned is out of date."""
    remove_tree(_plans(archive))


def write_left(archive: Archive, snapshot: Snapshot) -> None:
    """Remember how a night left the archive."""
    _write(archive.root / "nights" / "left" / "snapshot.json", snapshot.to_json())


def read_left(archive: Archive) -> Snapshot:
    """Return how the last finished night left the archive; empty before the first."""
    path = archive.root / "nights" / "left" / "snapshot.json"
    return (
        Snapshot(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Snapshot()
    )


def _plans(archive: Archive) -> Path:
    return archive.root / "nights" / "plans"


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content) + "\n")
