"""Work in progress on one mosaic: files that can be made again."""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.digests import DIGEST_BYTES, digest_bytes
from pipelines.errors import StorageFullError
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.survey import Survey

DIGEST_CHARACTERS = 2 * DIGEST_BYTES


@dataclass(frozen=True)
class Scratch:
    """The folder of one mosaic's work in progress."""

    root: Path

    def parts_path(self, unit: str) -> Path:
        """Return where the parts of a tile lie."""
        return self.root / f"{unit}.parts"

    def write_parts(self, unit: str, parts: TileParts) -> str:
        """Write a tile's parts and their digest, whole or not at all; return the digest."""
        data = parts.to_bytes()
        digest = digest_bytes(data)
        write_bytes(self.parts_path(unit), data + digest.encode())
        return digest

    def find_parts(self, unit: str) -> str | None:
        """Return the digest of a tile's parts if they are there, unharmed."""
        try:
            data = self.parts_path(unit).read_bytes()
        except OSError:
            return None
        digest = digest_bytes(data[:-DIGEST_CHARACTERS])
        return digest if digest.encode() == data[-DIGEST_CHARACTERS:] else None

    def read_survey(self) -> Survey | None:
        """Read the mosaic's survey, if it was made already."""
        try:
            return Survey.from_bytes((self.root / "survey").read_bytes())
        except FileNotFoundError:
            return None

    def write_survey(self, survey: Survey) -> None:
        """Write the mosaic's survey, whole or not at all."""
        write_bytes(self.root / "survey", survey.to_bytes())

    def write_ids(self, ids: Mapping[str, NDArray[np.uint32]]) -> None:
        """Write which id each segment of each tile has, whole or not at all."""
        ends = np.cumsum([len(of_tile) for of_tile in ids.values()]).tolist()
        spans = {unit: [end - len(ids[unit]), end] for unit, end in zip(ids, ends, strict=True)}
        header = json.dumps(spans).encode() + b"\n"
        write_bytes(self.root / "ids", header + b"".join(part.tobytes() for part in ids.values()))

    def read_ids(self, unit: str) -> NDArray[np.uint32] | None:
        """Read which id each segment of a tile has; None if that is not known yet."""
        try:
            with (self.root / "ids").open("rb") as file:
                spans = json.loads(file.readline())
                # A tile that could not be segmented has no segments.
                start, stop = spans.get(unit, (0, 0))
                file.seek(start * 4, os.SEEK_CUR)
                return np.frombuffer(file.read((stop - start) * 4), dtype=np.uint32)
        except FileNotFoundError:
            return None

    def begin_attempt(self, unit: str) -> int:
        """Note that a tile is about to be worked on; return how often it was before.

        The note is there before the work begins, so a tile that kills its process is known by
        its notes and not tried for ever.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{unit}.attempts").open("ab") as file:
            before = file.tell()
            file.write(b".")
        return before

    def end_attempts(self, unit: str) -> None:
        """Forget the attempts at a tile."""
        (self.root / f"{unit}.attempts").unlink(missing_ok=True)

    def begin_run(self) -> None:
        """Forget the attempts of earlier runs, which may have been killed, and their ids."""
        for path in (self.root / "ids", *self.root.glob("*.attempts")):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_storage_full(error: BaseException) -> bool:
    """Tell whether an error means that the disk, or our share of it, is full."""
    if isinstance(error, StorageFullError):
        return True
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Native writers tell it in words.
    return "No space left on device" in str(error) or "os error 28" in str(error)
