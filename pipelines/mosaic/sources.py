"""What was asked to be ingested: files and folders become a list of named images."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.archive import check_mosaic_name, mosaic_key
from pipelines.digests import digest_bytes, digest_file, digest_json
from pipelines.errors import SettingsError

#: Suffixes of images we read; longest first, for they are cut off a name.
IMAGE_SUFFIXES = (
    *(".ome.zarr", ".ome.tiff", ".ome.tif", ".ome.tf8", ".ome.btf", ".zarr", ".tiff", ".tif"),
    *(".tf8", ".btf", ".png", ".jpeg", ".jpg", ".jpe", ".jfif"),
)
#: Formats of microscopes whose open readers are under the GPL, or closed.
FOREIGN = {
    ".dm3": "Gatan DM3",
    ".dm4": "Gatan DM4",
    ".ser": "FEI/TIA SER",
    ".emi": "FEI/TIA EMI",
    ".emd": "EMD",
    ".mrc": "MRC",
    ".czi": "Zeiss CZI",
    ".nd2": "Nikon ND2",
    ".lif": "Leica LIF",
    ".oib": "Olympus OIB",
    ".vsi": "Olympus VSI",
    ".bcf": "Bruker BCF",
}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Source:
    """One image to ingest. ``kind`` is tiff, png, jpeg, zarr, or why it cannot be read."""

    path: Path
    name: str
    kind: str

    @property
    def is_readable(self) -> bool:
        """Tell whether a reader exists for it."""
        return self.kind in ("tiff", "png", "jpeg", "zarr")


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """List the images that paths name; a folder means the images directly inside.

    Raises
    ------
    SettingsError
        If a path is missing or cannot be read, a folder has no images, or two images would
        have one name.
    """
    if not paths:
        raise SettingsError("SOURCE is missing: name a file or a folder of images")
    sources: dict[Path, Source] = {}
    for path in paths:
        for found in _expand(path):
            sources.setdefault(found.path, found)
    check_names(source.name for source in sources.values())
    by_name: dict[str, Source] = {}
    for source in sources.values():
        other = by_name.setdefault(source.name, source)
        if other is not source:
            raise SettingsError(
                f"{other.path} and {source.path} would both become the mosaic {source.name}; "
                "rename one of them"
            )
    return sorted(sources.values(), key=lambda source: source.name)


def check_names(names: Iterable[str]) -> None:
    """Refuse mosaic names whose particles would get the same ids.

    Raises
    ------
    SettingsError
        Naming both.
    """
    keys: dict[int, str] = {}
    for name in names:
        other = keys.setdefault(mosaic_key(name), name)
        if other != name:
            raise SettingsError(f"mosaics {other} and {name} would share ids; rename one of them")


def mosaic_name(path: Path) -> str:
    """Make a mosaic's name of a file's, with what is not allowed in one replaced.

    Examples
    --------
    >>> mosaic_name(Path("run 7/tile (3).ome.tif")), mosaic_name(Path("a..b.png"))
    ('tile_3', 'a.b')
    """
    stem = file_stem(path)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem)
    name = re.sub(r"\.{2,}", ".", name).lstrip("._-").rstrip("._")
    if not name or len(name) > 128:
        # The digest keeps apart what is cut off.
        name = f"{name[:119] or 'mosaic'}-{digest_bytes(stem.encode())[:8]}"
    return check_mosaic_name(name)


def file_stem(path: Path) -> str:
    """Return a file's name without the suffix of an image."""
    lower = path.name.lower()
    suffix = next((s for s in IMAGE_SUFFIXES if lower.endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or path.name


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr node of either format."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def source_digest(path: Path) -> str:
    """Digest a file's bytes, or a folder's file names and bytes."""
    if path.is_file():
        return digest_file(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return digest_json([[p.relative_to(path).as_posix(), digest_file(p)] for p in files])


def source_stamp(path: Path) -> list[int]:
    """Return size and newest change of a file or folder: equal stamps need no new digest."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    stats = [file.stat() for file in files]
    return [sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)]


def find_images(folder: Path) -> list[Source]:
    """List the images directly inside a folder, which may have none.

    Raises
    ------
    SettingsError
        If one of its files cannot be read.
    """
    try:
        return [
            _source(p, kind)
            for p in sorted(p for p in folder.iterdir() if not p.name.startswith("."))
            for kind, wanted in [("zarr", True) if p.is_dir() and is_zarr(p) else _kind(p)]
            if wanted
        ]
    except PermissionError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from error


def _expand(path: Path) -> list[Source]:
    try:
        if not path.exists():
            raise SettingsError(f"{path} does not exist")
        if not path.is_dir():
            return [_source(path, _kind(path)[0])]
        if is_zarr(path):
            return [_source(path, "zarr")]
    except PermissionError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}") from error
    found = find_images(path)
    if not found:
        n_folders = sum(p.is_dir() for p in path.iterdir() if not p.name.startswith("."))
        inside = f" directly inside (name its {n_folders} folders instead)" if n_folders else ""
        raise SettingsError(f"folder {path} has no images{inside}")
    return found


def _source(path: Path, kind: str) -> Source:
    return Source(path.resolve(), mosaic_name(path), kind)


def _kind(path: Path) -> tuple[str, bool]:
    """Say what a file is by its first bytes, and whether it is meant as an image."""
    if not path.is_file():
        return "it is neither a file nor an image folder", False
    with path.open("rb") as file:
        head = os.pread(file.fileno(), 8, 0)
    if head[:4] in _TIFF_SIGNATURES:
        return "tiff", True
    if head == _PNG_SIGNATURE:
        return "png", True
    if head[:3] == b"\xff\xd8\xff":
        return "jpeg", True
    suffix = path.suffix.lower()
    if suffix in FOREIGN:
        return (
            f"{FOREIGN[suffix]} files are not read (their open readers are under the GPL or need "
            "the maker's library); export it as TIFF with its pixel size"
        ), True
    named_image = path.name.lower().endswith(IMAGE_SUFFIXES)
    what = "it is empty" if not head else "its first bytes are no TIFF, PNG or JPEG"
    return f"{what}; TIFF, PNG, JPEG and OME-Zarr are read", named_image
