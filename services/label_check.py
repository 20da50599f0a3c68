"""Recompute the digests of all label versions, and say which is the first that does not match."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from pipelines.archive import Archive
from pipelines.digests import DIGEST_BYTES, sum_hashes
from pipelines.labels.table import digest_labels_at_once, hash_labels
from pipelines.places import in_bucket, table_options
from pipelines.schemas import LABELS
from pipelines.tables import has_table
from services.label_versions import AT_ONCE, LabelVersion, from_commit, is_label_version, seal_of


class _DamageError(Exception):
    """Something is not as its version says; the message says what."""


@dataclass(frozen=True)
class Verification:
    """What came of a check.

    Attributes
    ----------
    n_versions : int
        Label versions that match, up to the first that does not.
    damaged_version : int or None
        The first version that does not match.
    damage : str
        What is wrong with it; "" if nothing is.
    n_unsealed : int
        Versions from before there were seals: their rows are checked, what they say of
        themselves is not.
    """

    n_versions: int
    damaged_version: int | None = None
    damage: str = ""
    n_unsealed: int = 0


@dataclass(frozen=True)
class _Content:
    """The rows of one data file, or of all files of a version: sum of hashes, and counts."""

    total: int = 0
    n_rows: int = 0
    n_labelled: int = 0

    def __add__(self, other: "_Content") -> "_Content":
        return _Content(
            (self.total + other.total) % 2 ** (8 * DIGEST_BYTES),
            self.n_rows + other.n_rows,
            self.n_labelled + other.n_labelled,
        )


def verify_versions(
    archive: Archive, *, on_commit: Callable[[int, int], None] = lambda done, total: None
) -> Verification:
    """Check the rows of every label version, its parents, and what it says of itself.

    Every data file is read once, however many versions it is part of. The log is read as it was
    written, without Delta's shortcuts through it.

    Parameters
    ----------
    archive : Archive
        The archive.
    on_commit : callable
        Called with the number of commits that were checked and of all.
    """
    if not has_table(archive, "labels"):
        return Verification(0)
    history = _History(archive.table("labels"))
    commits = sorted((history.path / "_delta_log").glob("*.json"))
    for number, path in enumerate(commits):
        try:
            history.check(number, path)
            if number == len(commits) - 1:
                history.check_shortcuts(number)
        except _DamageError as damage:
            return Verification(history.n_versions, number, str(damage), history.n_unsealed)
        on_commit(number + 1, len(commits))
    return Verification(history.n_versions, n_unsealed=history.n_unsealed)


class _History:
    """The label table's log, replayed from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_versions = self.n_unsealed = 0
        self._files: set[str] = set()
        self._known: dict[str, _Content] = {}
        self._parent: LabelVersion | None = None
        self._total = 0

    def check(self, number: int, path: Path) -> None:
        """Replay one commit, and compare the table with what it says."""
        if path.name != f"{number:020d}.json":
            raise _DamageError(f"its commit is missing from {path.parent}")
        about: dict[str, Any] = {}
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                action = json.loads(line)
                about |= action.get("commitInfo", {})
                if "remove" in action:
                    self._files.discard(unquote(action["remove"]["path"]))
                if "add" in action:
                    self._files.add(unquote(action["add"]["path"]))
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise _DamageError(f"its commit {path} cannot be read: {error}") from None
        if is_label_version(about):
            self._check_version({**about, "version": number})
        elif self._parent is not None and self._sum().total != self._total:
            raise _DamageError("rows were changed by a commit that is no label version")

    def _check_version(self, about: dict[str, Any]) -> None:
        try:
            version = from_commit(about)
        except (KeyError, ValueError, TypeError) as error:
            raise _DamageError(f"what it says of itself cannot be read: {error}") from None
        content = self._sum()
        digest = f"{content.total:032x}"
        if version.digest_kind == AT_ONCE:
            digest = digest_labels_at_once(self._rows())
        if digest != version.digest:
            raise _DamageError(f"its rows have digest {digest}, it says {version.digest}")
        if (content.n_rows, content.n_labelled) != (version.n_rows, version.n_labelled):
            raise _DamageError(
                f"it has {content.n_rows} rows, {content.n_labelled} with a label, and says "
                f"{version.n_rows} and {version.n_labelled}"
            )
        parent = self._parent
        expected = (parent.version, parent.digest) if parent else (None, None)
        if (version.parent_version, version.parent_digest) != expected:
            raise _DamageError(
                f"its parent is version {expected[0]} of digest {expected[1]}, it says "
                f"{version.parent_version} of {version.parent_digest}"
            )
        if version.seal:
            if version.seal != seal_of(about, parent.seal if parent else ""):
                raise _DamageError("what it says of itself was changed: its seal is broken")
        elif parent is not None and parent.seal:
            raise _DamageError("it has no seal, and its parent has one")
        else:
            self.n_unsealed += 1
        self._parent = version
        self._total = content.total
        self.n_versions += 1

    def check_shortcuts(self, number: int) -> None:
        """Check that Delta, which takes shortcuts through the log, sees the same files."""
        try:
            seen = deltalake.DeltaTable(
                str(self.path), version=number, storage_options=table_options(self.path)
            ).file_uris()
        except (DeltaError, OSError) as error:
            raise _DamageError(f"Delta cannot open the table: {error}") from None
        if {Path(name).name for name in seen} != {Path(name).name for name in self._files}:
            raise _DamageError("a checkpoint of the log does not agree with the log")

    def _sum(self) -> _Content:
        for name in self._files - self._known.keys():
            rows = self._read(name)
            self._known[name] = _Content(
                sum_hashes(hash_labels(rows)),
                rows.num_rows,
                rows.num_rows - rows["label"].null_count,
            )
        return sum((self._known[name] for name in self._files), _Content())

    def _rows(self) -> pa.Table:
        tables = [self._read(name) for name in sorted(self._files)]
        return pa.concat_tables([LABELS.empty_table(), *tables])

    def _read(self, name: str) -> pa.Table:
        path = self.path / name
        try:
            file = io.BytesIO(path.read_bytes()) if in_bucket(path) else path
            return pq.read_table(file, partitioning=None).select(LABELS.names).cast(LABELS)
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _DamageError(f"its data file {name} cannot be read: {said}") from None
