"""Which mosaics of an archive a verb works on: ``--mosaic`` and ``--hold-out``."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipelines.archive import Archive
from pipelines.errors import ArchiveError, SettingsError


@dataclass(frozen=True)
class Selection:
    """Names of mosaics, sorted: those to work on, and those kept for testing."""

    chosen: tuple[str, ...]
    held_out: tuple[str, ...]


def select_mosaics(
    archive: Archive, patterns: Sequence[str] = (), hold_out: Sequence[str] = ()
) -> Selection:
    """Select mosaics by name.

    Parameters
    ----------
    archive : Archive
        The archive.
    patterns : sequence of str
        Globs of ``--mosaic``; all mosaics if there are none.
    hold_out : sequence of str
        Globs of ``--hold-out``; these are never chosen.

    Raises
    ------
    ArchiveError
        If the archive has no mosaics.
    SettingsError
        If a glob matches no mosaic (a slip here would train on the test set), or every chosen
        mosaic is held out.
    """
    names = archive.mosaic_names()
    if not names:
        raise ArchiveError(f"archive {archive.root} has no mosaics; `tessera ingest` makes them")
    held_out = _matching(names, hold_out, "--hold-out", archive)
    matching = _matching(names, patterns, "--mosaic", archive) if patterns else names
    chosen = [name for name in matching if name not in held_out]
    if not chosen:
        raise SettingsError(f"--hold-out: all of the {len(matching)} chosen mosaics are held out")
    return Selection(tuple(chosen), tuple(held_out))


def _matching(
    names: Sequence[str], patterns: Sequence[str], flag: str, archive: Archive
) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SettingsError(f"{flag}: no mosaic of {archive.root} matches {pattern!r}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
