"""Where an archive's things lie: in a folder of this machine or in a bucket."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.bucket_path import BucketPath
from pipelines.buckets.opening import KINDS, bucket_store, check_answers, delta_options
from pipelines.digests import digest_bytes
from pipelines.errors import ArchiveError

#: A path made of an address has lost one of the two slashes.
_ADDRESS = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)$", re.DOTALL)
SCRATCH_VARIABLE = "TESSERA_SCRATCH"
_LISTED_LAST = "zarr.json"


def place(given: str | Path) -> Path:
    """Return the path of a folder or, for ``s3://BUCKET/PREFIX`` and its like, that in a bucket.

    Raises
    ------
    ArchiveError
        If it is an address of another kind, names a user, or leaves its prefix.

    Examples
    --------
    >>> str(place("s3://scans/2026/")), str(place("scans/2026"))
    ('s3://scans/2026', 'scans/2026')
    """
    if isinstance(given, BucketPath):
        return given
    address = _ADDRESS.match(str(given))
    if address is None:
        return Path(given)
    scheme, rest = address["scheme"].lower(), address["rest"]
    name, _, prefix = rest.partition("/")
    kind = KINDS.get(scheme)
    if "@" in name:
        instead = f"; set {kind.CREDENTIALS} instead" if kind else ""
        raise ArchiveError(f"an archive's address must not hold a user or password{instead}")
    if kind is None:
        *others, last = (each.address() for each in KINDS.values())
        raise ArchiveError(
            f"an archive is a folder, {', '.join(others)} or {last}, got {scheme}://{rest}"
        )
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") for part in parts) or re.search(r"[?#\s\x00-\x1f]", prefix):
        raise ArchiveError(f"a prefix must be plain names between slashes, got {prefix!r}")
    bucket = kind(name)
    bucket.check_name()
    return BucketPath("/".join([str(bucket), *parts]))


def in_bucket(path: Path) -> bool:
    """Tell whether a path lies in a bucket."""
    return isinstance(path, BucketPath)


def check_reachable(path: Path) -> None:
    """See that the bucket of a path is there and lets us in; a folder is looked at when used.

    Raises
    ------
    ArchiveError
        Saying in a line what is missing.
    """
    if isinstance(path, BucketPath):
        check_answers(path.bucket, path.key)


def local_folder(root: Path) -> Path:
    """Return the folder on this machine for what an archive in a bucket cannot keep there.

    It lies in ``TESSERA_SCRATCH``, or in the user's cache; every archive has its own.
    """
    given = os.environ.get(SCRATCH_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tessera"
    base = Path(given).absolute() if given else cache
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(root).partition("//")[2])[:60]
    # One bucket name may mean two buckets, of two object stores.
    assert isinstance(root, BucketPath)
    where = root.bucket.endpoint()
    return base / f"{name}-{digest_bytes(f'{where} {root}'.encode())[:8]}"


def zarr_store(path: Path) -> Any:
    """Return what Zarr opens for a path."""
    if not isinstance(path, BucketPath):
        return str(path)
    from zarr.storage import ObjectStore

    return ObjectStore(bucket_store(path.bucket, path.key))


def table_options(path: Path) -> Mapping[str, str] | None:
    """Return the storage options of a Delta table at a path."""
    return delta_options(path.bucket) if isinstance(path, BucketPath) else None


def move(source: Path, target: Path) -> None:
    """Move a file or folder; in a bucket, what tells that it is there comes last.

    A move into a bucket that is killed leaves the source whole, or the target.
    """
    if not isinstance(source, BucketPath) and not isinstance(target, BucketPath):
        source.rename(target)
        return
    names = _inside(source)
    # A move that was killed may have left a part of something else.
    remove_tree(target)
    for name in names:
        there = target / name if name else target
        if isinstance(source, BucketPath):
            _copy(source / name if name else source, there)
        else:
            there.write_bytes((source / name).read_bytes() if name else source.read_bytes())
    remove_tree(source)


def copy_tree(
    source: Path, target: Path, *, ignore: Callable[[str, list[str]], Iterable[str]]
) -> None:
    """Copy a folder to this machine; ``ignore`` as for `shutil.copytree`."""
    if not isinstance(source, BucketPath):
        shutil.copytree(source, target, ignore=lambda folder, names: set(ignore(folder, names)))
        return
    target.mkdir(parents=True)
    for name in source.objects():
        if not any(set(ignore("", [part])) for part in name.split("/")):
            _copy(source / name, target / name)


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it, if it is there; first what tells that it is there."""
    if not isinstance(path, BucketPath):
        shutil.rmtree(path, ignore_errors=True)
        return
    for name in reversed(_inside(path)):
        (path / name if name else path).unlink(missing_ok=True)


def _inside(path: Path) -> list[str]:
    """List the files below a path (``""`` for a file itself), the outermost metadata last."""
    if isinstance(path, BucketPath):
        names = path.objects() or [""]
    elif path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        names = [file.relative_to(path).as_posix() for file in files]
    else:
        names = [""]
    return sorted(names, key=lambda name: (name.endswith(_LISTED_LAST), -name.count("/"), name))


def _copy(source: BucketPath, target: Path) -> None:
    if isinstance(target, BucketPath):
        source.copy_to(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
