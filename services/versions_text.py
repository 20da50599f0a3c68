"""Label versions in words: what the command line shows of them."""

from typing import Any

from pipelines.archive import Archive
from pipelines.errors import LabelError
from services.label_versions import LabelVersion, current_version, find_version


def resolve(archive: Archive, number: int | None) -> LabelVersion:
    """Return the version of a number, or the newest.

    Raises
    ------
    LabelError
        If it does not exist, or nothing is labelled yet.
    """
    if number is not None:
        return find_version(archive, number)
    newest = current_version(archive)
    if newest is None:
        raise LabelError(f"archive {archive.root} has no labels: run tessera label first")
    return newest


def describe(version: LabelVersion) -> dict[str, Any]:
    """Return what a version says of itself, as JSON-like values."""
    said = {name: value for name, value in vars(version).items() if name != "is_new"}
    return {
        **said,
        "at": version.at.isoformat(timespec="seconds"),
        "mosaics": list(version.mosaics),
        "rules": dict(version.rules),
    }
