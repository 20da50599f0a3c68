"""What could not be processed: one readable JSON file each, beside the ledger's row."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.archive import Archive, write_text
from pipelines.digests import digest_json


@dataclass(frozen=True)
class Quarantined:
    """A unit of work that failed for good: a file at ingest, a tile later."""

    stage: str
    mosaic: str
    unit: str
    reason: str
    attempts: int = 1
    details: str = ""


def put_in_quarantine(archive: Archive, case: Quarantined) -> Path:
    """Write a case down; the same unit again replaces its earlier reason."""
    archive.quarantine.mkdir(exist_ok=True)
    path = archive.quarantine / f"{_file_stem(case.stage, case.mosaic, case.unit)}.json"
    write_text(path, json.dumps(asdict(case), indent=1) + "\n")
    return path


def release_from_quarantine(archive: Archive, stage: str, mosaic: str, unit: str) -> None:
    """Forget a case, because the unit was processed after all."""
    (archive.quarantine / f"{_file_stem(stage, mosaic, unit)}.json").unlink(missing_ok=True)


def list_quarantine(archive: Archive) -> list[Quarantined]:
    """Return every case, sorted by stage, mosaic and unit."""
    if not archive.quarantine.is_dir():
        return []
    cases = [_read(path) for path in sorted(archive.quarantine.glob("*.json"))]
    return sorted(cases, key=lambda case: (case.stage, case.mosaic, case.unit))


def _read(path: Path) -> Quarantined:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Quarantined(**content)


def _file_stem(stage: str, mosaic: str, unit: str) -> str:
    # The digest keeps two units apart whose names differ only in letters a file name cannot hold.
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{stage}-{mosaic}-{unit}")[:80]
    return f"{plain}-{digest_json([stage, mosaic, unit])[:8]}"
