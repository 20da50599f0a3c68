"""Label versions: commits of the Delta table of labels, each with its digest and its parent."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines.archive import Archive
from pipelines.errors import LabelError
from pipelines.labels.table import check_labels, digest_labels, merge_labels
from pipelines.tables import LABELS, has_table, read_rows, table_version

#: Times to merge anew when somebody else committed in between.
_TRIES = 5
#: Delta forgets old versions after 30 days unless it is told not to.
_KEEP_EVERY_VERSION = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}


@dataclass(frozen=True)
class LabelVersion:
    """One version of the labels: what it holds, what it came from, and who and what made it.

    ``n_labelled`` counts rows with a label; the others are abstentions and undeterminable ones.
    ``rules`` is what the maker reported about itself. ``is_new`` is False where a commit found
    nothing to change and returned the version that was there.
    """

    version: int
    digest: str
    parent_version: int | None
    parent_digest: str | None
    method: str
    author: str
    run_id: str
    model_uri: str | None
    code_version: str
    mosaics: tuple[str, ...]
    n_rows: int
    n_labelled: int
    at: datetime
    rules: Mapping[str, Any] = field(default_factory=dict)
    is_new: bool = True


def commit_labels(
    archive: Archive,
    rows: pa.Table,
    *,
    method: str,
    author: str,
    run_id: str,
    code_version: str,
    mosaics: Collection[str] = (),
    model_uri: str | None = None,
    rules: Mapping[str, Any] | None = None,
) -> LabelVersion:
    """Commit label rows as a new version, or return the current one if nothing changes.

    Rows of other particles are kept, and a decision (any state but ``given``) is never replaced
    by a weak label; see `pipelines.labels.table.merge_labels`.

    Parameters
    ----------
    archive : Archive
        The archive.
    rows : pyarrow.Table
        New rows with the columns of the label table.
    method, author, run_id, code_version : str
        What made the rows, who ran it, in which run, with which code.
    mosaics : collection of str
        Mosaics that were labelled anew: given rows of theirs that are not in ``rows`` go.
    model_uri : str, optional
        The model behind the labels.
    rules : mapping, optional
        Report on the rules, JSON-like; kept with the version.

    Raises
    ------
    LabelError
        If rows break the table's rules, or others keep committing in between.
    """
    rows = rows.select(LABELS.names).cast(LABELS)
    check_labels(rows)
    for _ in range(_TRIES):
        # The table's version, not the last label version's: Delta's own upkeep commits too.
        newest = table_version(archive, "labels")
        current = current_version(archive)
        before = read_rows(archive, "labels", version=newest)
        merged = merge_labels(before, rows, anew=mosaics)
        digest = digest_labels(merged)
        if current and current.digest == digest:
            return replace(current, is_new=False)
        made = LabelVersion(
            version=0 if newest is None else newest + 1,
            digest=digest,
            parent_version=current.version if current else None,
            parent_digest=current.digest if current else None,
            method=method,
            author=author,
            run_id=run_id,
            model_uri=model_uri,
            code_version=code_version,
            mosaics=tuple(sorted({*mosaics, *pc.unique(rows["mosaic"]).to_pylist()})),
            n_rows=merged.num_rows,
            n_labelled=merged.num_rows - merged["label"].null_count,
            at=datetime.now(UTC),
            rules=rules or {},
        )
        if _write(archive, merged, made):
            return made
    raise LabelError(f"labels of {archive.root}: others committed {_TRIES} times in between")


def read_labels(
    archive: Archive, version: int | None = None, *, with_unlabelled: bool = False
) -> pa.Table:
    """Read the labels of a version; the newest by default.

    Parameters
    ----------
    archive : Archive
        The archive.
    version : int, optional
        A version of `list_versions`.
    with_unlabelled : bool
        Also return rows without a label: abstentions, and particles nobody can tell.

    Returns
    -------
    rows : pyarrow.Table
        Sorted by mosaic and instance; empty where nothing was labelled yet.

    Raises
    ------
    LabelError
        If there is no such version.
    """
    if version is not None:
        find_version(archive, version)
    rows = read_rows(archive, "labels", version=version)
    if not with_unlabelled:
        rows = rows.filter(pc.is_valid(rows["label"]))
    return rows.sort_by([("mosaic", "ascending"), ("instance", "ascending")])


def list_versions(archive: Archive) -> list[LabelVersion]:
    """Return every label version, oldest first."""
    if not has_table(archive, "labels"):
        return []
    history = deltalake.DeltaTable(str(archive.table("labels"))).history()
    return sorted((_from_commit(c) for c in history if "digest" in c), key=lambda v: v.version)


def current_version(archive: Archive) -> LabelVersion | None:
    """Return the newest label version, or None where nothing was labelled yet."""
    versions = list_versions(archive)
    return versions[-1] if versions else None


def find_version(archive: Archive, version: int) -> LabelVersion:
    """Return the label version with this number.

    Raises
    ------
    LabelError
        If there is none.
    """
    versions = list_versions(archive)
    for found in versions:
        if found.version == version:
            return found
    there = f"versions are 0 to {versions[-1].version}" if versions else "nothing is labelled yet"
    raise LabelError(f"label version {version} does not exist in {archive.root}; {there}")


def _write(archive: Archive, rows: pa.Table, made: LabelVersion) -> bool:
    """Write the version; return False if somebody else took its number."""
    path = str(archive.table("labels"))
    commit = deltalake.CommitProperties(custom_metadata=_to_commit(made), max_commit_retries=0)
    try:
        if made.version == 0:
            deltalake.write_deltalake(
                path,
                rows,
                mode="error",
                configuration=_KEEP_EVERY_VERSION,
                commit_properties=commit,
            )
            return True
        read = deltalake.DeltaTable(path, version=made.version - 1)
        deltalake.write_deltalake(read, rows, mode="overwrite", commit_properties=commit)
    except CommitFailedError:
        return False
    except DeltaError:
        if made.version == 0 and has_table(archive, "labels"):
            return False
        raise
    return True


def _to_commit(made: LabelVersion) -> dict[str, str]:
    """Write a version as Delta commit metadata: texts alone."""
    return {
        "digest": made.digest,
        "parent_version": "" if made.parent_version is None else str(made.parent_version),
        "parent_digest": made.parent_digest or "",
        "method": made.method,
        "author": made.author,
        "run_id": made.run_id,
        "model_uri": made.model_uri or "",
        "code_version": made.code_version,
        "mosaics": json.dumps(made.mosaics),
        "n_rows": str(made.n_rows),
        "n_labelled": str(made.n_labelled),
        "at": made.at.isoformat(),
        "rules": json.dumps(made.rules),
    }


def _from_commit(commit: Mapping[str, Any]) -> LabelVersion:
    return LabelVersion(
        version=int(commit["version"]),
        digest=commit["digest"],
        parent_version=int(commit["parent_version"]) if commit["parent_version"] else None,
        parent_digest=commit["parent_digest"] or None,
        method=commit["method"],
        author=commit["author"],
        run_id=commit["run_id"],
        model_uri=commit["model_uri"] or None,
        code_version=commit["code_version"],
        mosaics=tuple(json.loads(commit["mosaics"])),
        n_rows=int(commit["n_rows"]),
        n_labelled=int(commit["n_labelled"]),
        at=datetime.fromisoformat(commit["at"]),
        rules=json.loads(commit["rules"]),
    )
