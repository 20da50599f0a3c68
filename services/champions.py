"""Who is champion and since when, in a file of the archive: known at once, without MLflow.

MLflow's registry is the truth. This copy is written whenever a champion is made from this
archive, as importing MLflow takes longer than a person waits for a status.
"""

import json
from dataclasses import asdict, dataclass

from pipelines.archive import Archive, write_text

FILE = "champions.json"


@dataclass(frozen=True)
class Champion:
    """The model version in use, since when, and who made it so, how and why."""

    version: str
    since: str
    author: str
    action: str
    reason: str


def read_champions(archive: Archive) -> dict[str, Champion]:
    """Return the champion of every registered model that has had one, by the model's name."""
    try:
        found = json.loads((archive.root / FILE).read_text(encoding="utf-8"))
        return {name: Champion(**values) for name, values in sorted(found.items())}
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def remember_champion(archive: Archive, name: str, champion: Champion) -> None:
    """Enter a model's champion. The caller holds the archive."""
    champions = {**read_champions(archive), name: champion}
    text = json.dumps({key: asdict(value) for key, value in champions.items()}, indent=1)
    write_text(archive.root / FILE, f"{text}\n")
