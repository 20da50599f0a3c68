"""Paths in a bucket, which read, write and list as those of a folder do.

A bucket has no folders: a prefix is there when an object lies below it. An object is written
whole or not at all. What only the system's files can do (locks, memory maps, names that a library
opens by itself) is refused by an error rather than done to a file of a strange name.
"""

import errno
import io
import os
import re
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Self

from pipelines.buckets.bucket import Bucket
from pipelines.buckets.opening import KINDS, bucket_store
from pipelines.buckets.refusals import BucketError, bucket_errors
from pipelines.buckets.upload import Upload, UploadText

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from pipelines.buckets.bucket import Store

#: A copy that is there before its content is looked at again so often, after such a pause.
_LOOKS = 60
_PAUSE_S = 0.5


class BucketPath(type(Path())):  # type: ignore[misc]
    """``s3://BUCKET/KEY``, or what the other kinds of buckets are called, as a path.

    Examples
    --------
    >>> path = BucketPath("gs://scans/2026") / "tables"
    >>> str(path), path.name, str(path.bucket), path.key
    ('gs://scans/2026/tables', 'tables', 'gs://scans', '2026/tables')
    """

    def __str__(self) -> str:
        head, *rest = self.parts or ("",)
        return "/".join([f"{head}/", *rest]) if head.endswith(":") else "/".join([head, *rest])

    def __repr__(self) -> str:
        return f"BucketPath({str(self)!r})"

    def __fspath__(self) -> NoReturn:
        raise TypeError(f"{self} lies in a bucket: no file of this machine")

    def __reduce__(self) -> tuple[Any, ...]:
        return BucketPath, (str(self),)

    @property
    def bucket(self) -> Bucket:
        """The bucket."""
        return KINDS[self.parts[0].removesuffix(":")](self.parts[1])

    @property
    def key(self) -> str:
        """What an object here is called in its bucket."""
        return "/".join(self.parts[2:])

    def as_posix(self) -> str:
        """Return the URL."""
        return str(self)

    def as_uri(self) -> str:
        """Return the URL."""
        return str(self)

    def is_absolute(self) -> bool:
        """Tell that it leads to the same place from everywhere."""
        return True

    def absolute(self) -> Self:
        """Return the path itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """Return the path itself."""
        return self

    def read_bytes(self) -> bytes:
        """Read an object whole."""
        import obstore

        with self._errors():
            return obstore.get(self._store, self.key).bytes().to_bytes()

    def read_text(
        self, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> str:
        """Read an object whole, as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def write_bytes(self, data: Any) -> int:
        """Write an object, whole or not at all."""
        import obstore

        content = bytes(data)
        with self._errors():
            obstore.put(self._store, self.key, content)
        return len(content)

    def write_text(
        self,
        data: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> int:
        """Write an object, whole or not at all."""
        self.write_bytes(data.encode(encoding or "utf-8", errors or "strict"))
        return len(data)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open an object; what is written goes to the bucket when the file is closed."""
        plain = mode.replace("b", "").replace("t", "")
        if plain == "r":
            file: io.BytesIO = io.BytesIO(self.read_bytes())
        elif plain in ("w", "a"):
            file = Upload(self)
            if plain == "a" and self.is_file():
                file.write(self.read_bytes())
        else:
            raise ValueError(f"mode must be r, w or a, got {mode!r}")
        if "b" in mode:
            return file
        return UploadText(file, encoding=encoding or "utf-8", errors=errors, newline=newline)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether an object is here, or below."""
        return self.is_file() or self.is_dir()

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether an object is here."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether an object is below."""
        return next(self._below(at_once=1), None) is not None

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size and time of an object."""
        import obstore

        if not self.key:
            raise FileNotFoundError(errno.ENOENT, "No such object", str(self))
        with self._errors():
            meta = obstore.head(self._store, self.key)
        at = meta["last_modified"].timestamp()
        return os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, meta["size"], at, at, at))

    def iterdir(self) -> Iterator[Self]:
        """Give the objects and prefixes directly below."""
        import obstore

        with self._errors():
            found = obstore.list_with_delimiter(self._store, self._prefix)
        below = {*found["common_prefixes"], *(meta["path"] for meta in found["objects"])}
        for key in sorted(below):
            if key.rstrip("/") != self.key:
                yield self / key.rstrip("/").rpartition("/")[2]

    def glob(self, pattern: str, **options: Any) -> Iterator[Self]:
        """Give what matches the pattern below; ``**`` is `rglob`'s."""
        first, _, rest = pattern.partition("/")
        if first == "**":
            yield from self.rglob(rest)
            return
        if re.search(r"[*?\[]", first):
            found = [entry for entry in self.iterdir() if fnmatchcase(entry.name, first)]
        else:
            found = [self / first]
        for entry in found:
            if rest:
                yield from entry.glob(rest)
            elif entry.exists():
                yield entry

    def rglob(self, pattern: str, **options: Any) -> Iterator[Self]:
        """Give the objects below whose path ends in the pattern."""
        for meta in self._below():
            path = type(self)(f"{self.bucket}/{meta['path']}")
            if path.match(pattern):
                yield path

    def objects(self) -> list[str]:
        """List the keys of all objects below, relative to this path."""
        return [meta["path"][len(self._prefix or "") :] for meta in self._below()]

    def sizes(self) -> Iterator[int]:
        """Give the sizes of all objects below, in bytes."""
        return (meta["size"] for meta in self._below())

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a prefix is there with its first object."""

    def rmdir(self) -> None:
        """Do nothing: a prefix goes with its last object."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        import obstore

        if not missing_ok:
            self.stat()
        try:
            with self._errors():
                obstore.delete(self._store, self.key)
        except FileNotFoundError:
            # Asked twice, because the first answer was lost.
            return

    def replace(self, target: Any) -> Self:
        """Copy an object to another place in its bucket, and remove it here."""
        if not isinstance(target, BucketPath):
            raise ValueError(f"{self} can only be moved within its bucket, got {target}")
        self.copy_to(target)
        self.unlink(missing_ok=True)
        return type(self)(str(target))

    def copy_to(self, target: "BucketPath") -> None:
        """Copy an object within its bucket, without reading it; return once it is there."""
        import obstore

        if target.bucket != self.bucket:
            raise ValueError(f"{self} can only be copied within its bucket, got {target}")
        with self._errors():
            obstore.copy(self._store, self.key, target.key)
        if not self.bucket.COPIES_LATER:
            return
        size = self.stat().st_size
        for _ in range(_LOOKS):
            if target.stat().st_size == size:
                return
            time.sleep(_PAUSE_S)
        raise BucketError(errno.EIO, f"the copy of {self.key} is not done", str(target))

    def rename(self, target: Any) -> Self:
        """Move an object; `places.move` moves all that lies below a prefix."""
        return self.replace(target)

    @property
    def _store(self) -> "Store":
        return bucket_store(self.bucket)

    @property
    def _prefix(self) -> str | None:
        return f"{self.key}/" if self.key else None

    def _errors(self) -> Any:
        return bucket_errors(self, self.bucket)

    def _below(self, *, at_once: int = 1000) -> "Iterator[ObjectMeta]":
        """Give what is known of the objects below."""
        import obstore

        with self._errors():
            for some in obstore.list(self._store, self._prefix, chunk_size=at_once):
                yield from some
