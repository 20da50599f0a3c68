"""How far the run on an archive has come, in a small file that other processes may read."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.archive import Archive, write_text
from services.progress import Standing, listening

#: In the archive's folder of work in progress.
FILE = "progress.json"


@dataclass(frozen=True)
class LiveProgress:
    """What the run that holds an archive said last of its progress, and when."""

    standing: Standing
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it for scripts, with the rate and the time left; null where that is not known."""
        left_s = self.standing.left_s
        return {
            **asdict(self.standing),
            "rate": self.standing.rate,
            "left_s": left_s if math.isfinite(left_s) else None,
            "at": self.at.isoformat(),
        }


@contextmanager
def shown_to_others(archive: Archive, token: str) -> Iterator[None]:
    """Keep the file up to date for the length of the block, and remove it then.

    Parameters
    ----------
    archive : Archive
        The archive, which this process holds.
    token : str
        Of the holding: whoever reads the file can tell a dead run's from the present one's.
    """
    path = archive.scratch / FILE

    def show(standing: Standing) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        # Nobody's work shall fail because nobody can be told of it.
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            write_text(path, json.dumps({"run": token, "at": at, **asdict(standing)}))

    try:
        with listening(show):
            yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_progress(archive: Archive, token: str) -> LiveProgress | None:
    """Return what the run of this token said last; None where it said nothing."""
    try:
        said = json.loads((archive.scratch / FILE).read_text(encoding="utf-8"))
        standing = Standing(**{name: said[name] for name in Standing.__dataclass_fields__})
        at = datetime.fromisoformat(said["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return LiveProgress(standing, at) if said["run"] == token else None
