"""The archive: a folder, or a prefix in a bucket, of mosaics and all that came of them."""

import errno
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.digests import digest_bytes
from pipelines.errors import ArchiveError
from pipelines.places import check_reachable, in_bucket, local_folder, place
from pipelines.records import INSTANCE_BITS

FORMAT_VERSION = 1
MOSAIC_SUFFIX = ".ome.zarr"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
#: A bucket takes its time over every question, and answers many at once.
_QUESTIONS_AT_ONCE = 16


@dataclass(frozen=True)
class Archive:
    """Paths of one archive. Makes nothing and reads nothing."""

    root: Path

    @property
    def description(self) -> Path:
        """``archive.json``: format version and creation time."""
        return self.root / "archive.json"

    @property
    def mosaics(self) -> Path:
        """The folder of mosaics."""
        return self.root / "mosaics"

    @property
    def quarantine(self) -> Path:
        """What could not be processed, with the reason."""
        return self.root / "quarantine"

    @property
    def reports(self) -> Path:
        """HTML reports."""
        return self.root / "reports"

    @property
    def local(self) -> Path:
        """The folder of what cannot lie in a bucket; the archive's own where it is a folder."""
        return local_folder(self.root) if in_bucket(self.root) else self.root

    @property
    def scratch(self) -> Path:
        """Work in progress; whatever lies here can be made again."""
        return self.local / ".work"

    def mosaic(self, name: str) -> Path:
        """Return the OME-Zarr group of the mosaic ``name``."""
        return self.mosaics / f"{check_mosaic_name(name)}{MOSAIC_SUFFIX}"

    def table(self, name: str) -> Path:
        """Return the Delta table ``name``."""
        return self.root / "tables" / name

    def mosaic_names(self) -> list[str]:
        """Names of the mosaics that are wholly there, sorted."""
        if not self.mosaics.is_dir():
            return []
        entries = [e for e in self.mosaics.iterdir() if e.name.endswith(MOSAIC_SUFFIX)]
        if in_bucket(self.root):
            with ThreadPoolExecutor(_QUESTIONS_AT_ONCE) as pool:
                there = list(pool.map(_is_group, entries))
        else:
            there = [_is_group(entry) for entry in entries]
        names = (entry.name.removesuffix(MOSAIC_SUFFIX) for entry in entries)
        return sorted(name for name, is_there in zip(names, there, strict=True) if is_there)


def _is_group(path: Path) -> bool:
    return (path / "zarr.json").is_file()


def create_archive(path: Path) -> Archive:
    """Make the archive at ``path``, or open the one that is there.

    Raises
    ------
    ArchiveError
        If ``path`` is a file, or a folder that holds something else, or cannot be written.
    """
    archive = _archive_at(path)
    try:
        if archive.description.is_file():
            open_archive(path)
        else:
            _describe(archive)
        # Also in an archive that was there: the run that began it may have been killed here.
        for folder in (
            archive.mosaics,
            archive.root / "tables",
            archive.quarantine,
            archive.reports,
        ):
            folder.mkdir(exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ArchiveError(f"archive {path} cannot be made: {error.strerror}") from error
    return archive


def _archive_at(path: Path) -> Archive:
    """Name an archive's places; if it lies in a bucket, see that the bucket answers."""
    # Workers run in folders of their own, where a relative path leads nowhere.
    archive = Archive(place(path).absolute())
    check_reachable(archive.root)
    if in_bucket(archive.root):
        archive.local.mkdir(parents=True, exist_ok=True)
    return archive


def _describe(archive: Archive) -> None:
    """Make the archive's folder and write its description, where nothing else lies."""
    path = archive.root
    if path.exists() and (not path.is_dir() or any(map(_is_foreign, path.iterdir()))):
        raise ArchiveError(f"archive {path} exists and is not an archive (it has no archive.json)")
    path.mkdir(parents=True, exist_ok=True)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    description = json.dumps({"format_version": FORMAT_VERSION, "created": created})
    write_text(archive.description, f"{description}\n")


def _is_foreign(entry: Path) -> bool:
    """Tell a stranger's file from a description that a killed run left unfinished."""
    return not (entry.name.startswith(".archive.json.") and entry.name.endswith(".partial"))


def open_archive(path: Path) -> Archive:
    """Open the archive at ``path``.

    Raises
    ------
    ArchiveError
        If there is none, or it is of a format that this version does not know.
    """
    archive = _archive_at(path)
    try:
        description = json.loads(archive.description.read_text(encoding="utf-8"))
        version = description["format_version"]
    except FileNotFoundError:
        missing = "does not exist" if not path.exists() else "is not an archive (no archive.json)"
        raise ArchiveError(f"archive {path} {missing}") from None
    except OSError as error:
        raise ArchiveError(f"archive {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"archive {path}: archive.json is damaged ({error})") from error
    if version != FORMAT_VERSION:
        raise ArchiveError(
            f"archive {path} has format version {version}; this version reads {FORMAT_VERSION}"
        )
    return archive


def check_mosaic_name(name: str) -> str:
    """Return ``name`` if it can name a mosaic, which also makes it safe as a path.

    Examples
    --------
    >>> check_mosaic_name("run-07_b")
    'run-07_b'
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ArchiveError(
            "mosaic name must be 1 to 128 of A-Z a-z 0-9 . _ - beginning with a letter or digit "
            f"and without '..', got {name!r}"
        )
    return name


def mosaic_key(name: str) -> int:
    """Return a mosaic's number, 0 to 2**31 - 1, which depends on its name alone."""
    return int(digest_bytes(name.encode())[:8], 16) >> 1


def particle_id(mosaic: str, instance: int) -> int:
    """Give the global id of an instance of a mosaic: positive, below 2**63."""
    return (mosaic_key(mosaic) << INSTANCE_BITS) | int(instance)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    if in_bucket(path):
        path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
