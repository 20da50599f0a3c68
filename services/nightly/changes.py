"""What is new or changed since the last night: two snapshots compared."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["file", "mosaic", "segmentation", "settings", "code", "labels", "trust", "champion"]


@dataclass(frozen=True)
class Snapshot:
    """All that decides what a night has to do.

    Attributes
    ----------
    sources : mapping of str to str
        Images in the watched folders: path -> stamp.
    mosaics : mapping of str to str
        Mosaics of the archive: name -> digest of the segmentation, empty without particles.
    settings : mapping of str to str
        Stage -> digest of its settings, as far as they decide its result.
    results : mapping of str to int
        Stage -> its result version.
    labels : str
        Digest of the label version.
    trust : str
        Digest of the labels that are trusted to judge by.
    champion : str
        Address of the model in use.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    mosaics: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, int] = field(default_factory=dict)
    labels: str = ""
    trust: str = ""
    champion: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-like values; ``Snapshot(**values)`` is the way back."""
        return asdict(self)


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was: of which kind, which one, and how it changed."""

    kind: Kind
    what: str
    how: str

    @property
    def text(self) -> str:
        """Say it in one line."""
        return f"{self.kind} {self.what}: {self.how}" if self.what else f"{self.kind}: {self.how}"


def find_changes(before: Snapshot, now: Snapshot) -> list[Change]:
    """Compare two snapshots; what is gone is no change, for nothing can be done about it.

    Examples
    --------
    >>> old = Snapshot(sources={"a.tif": "1"}, results={"train": 1})
    >>> new = Snapshot(sources={"a.tif": "2"}, results={"train": 2})
    >>> [change.text for change in find_changes(old, new)]
    ['file a.tif: changed', 'code train: result version 1 to 2']
    """
    changes: list[Change] = []
    for path, stamp in sorted(now.sources.items()):
        if before.sources.get(path) != stamp:
            changes.append(Change("file", path, "changed" if path in before.sources else "new"))
    for name, digest in sorted(now.mosaics.items()):
        if name not in before.mosaics:
            changes.append(Change("mosaic", name, "new"))
        elif before.mosaics[name] != digest:
            changes.append(Change("segmentation", name, "made anew"))
    # A stage that the last night did not know has not changed since.
    for stage in sorted(before.settings.keys() & now.settings):
        if before.settings[stage] != now.settings[stage]:
            changes.append(Change("settings", stage, "changed"))
    for stage in sorted(before.results.keys() & now.results):
        old, new = before.results[stage], now.results[stage]
        if old != new:
            changes.append(Change("code", stage, f"result version {old} to {new}"))
    for kind, old_digest, new_digest in (
        ("labels", before.labels, now.labels),
        ("trust", before.trust, now.trust),
    ):
        if old_digest != new_digest:
            changes.append(Change(kind, "", "changed" if old_digest else "new"))  # type: ignore[arg-type]
    if before.champion != now.champion:
        how = f"{before.champion or 'none'} to {now.champion or 'none'}"
        changes.append(Change("champion", "", how))
    return changes


def changed_files(changes: Sequence[Change]) -> list[str]:
    """Return the paths of the images to ingest."""
    return [change.what for change in changes if change.kind == "file"]


def must_learn(changes: Sequence[Change], *, labels_before: str, labels_now: str) -> bool:
    """Tell whether there is something to learn that the last night did not know.

    Parameters
    ----------
    changes : sequence of Change
        Since the last night.
    labels_before, labels_now : str
        Digests of the labels that the last night ended with, and of those after weak labelling.
    """
    learns = {"clean", "train"}
    by_hand = any(c.kind in ("settings", "code") and c.what in learns for c in changes)
    return bool(labels_now) and (labels_before != labels_now or by_hand)
