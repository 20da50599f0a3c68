"""Label versions: commits of the Delta table of labels, each with its digest and its parent."""

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.errors import LabelError
from pipelines.labels.changes import Changes, changes_between, plan_changes
from pipelines.labels.conflicts import LabelConflictError, find_conflicts
from pipelines.labels.table import check_labels, digest_labels
from pipelines.schemas import LABELS
from pipelines.tables import read_rows
from services.label_table import Snapshot, open_snapshot, write_version
from services.label_versions import (
    BY_ROWS,
    LabelVersion,
    current_version,
    find_version,
    list_versions,
    sealed,
)

__all__ = [
    "LabelVersion",
    "commit_changes",
    "commit_labels",
    "current_version",
    "find_version",
    "list_versions",
    "read_labels",
    "rollback",
]

#: What becomes of rows that somebody else changed since: nothing lands, or ours, or theirs stay.
OnConflict = Literal["refuse", "mine", "theirs"]
#: How long to merge anew where others keep committing in between.
_PATIENCE_S = 60.0


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
    base: int | None = None,
    on_conflict: OnConflict = "refuse",
) -> LabelVersion:
    """Commit label rows as a new version, or return the current one if nothing changes.

    Rows of other particles are kept, and a decision (any state but ``given``) is never replaced
    by a weak label; see `pipelines.labels.changes.plan_changes`. What others commit in between
    is merged with, never overwritten.

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
    base : int, optional
        The version that the rows were made from: particles whose label or state changed since
        are conflicts. Without it there are none, and only the states' own rules hold.
    on_conflict : {"refuse", "mine", "theirs"}
        What becomes of conflicts: an error; the new rows; or the rows that are there.

    Raises
    ------
    LabelError
        If rows break the table's rules, or others keep committing in between.
    LabelConflictError
        If there are conflicts, and they are refused; it carries them as a table.
    """
    rows = rows.select(LABELS.names).cast(LABELS)
    check_labels(rows)
    touched = {*mosaics, *pc.unique(rows["mosaic"]).to_pylist()}
    seen = None
    if base is not None:
        find_version(archive, base)
        seen = read_rows(
            archive, "labels", version=base, filters=[("mosaic", "in", sorted(touched))]
        )

    def plan(snapshot: Snapshot) -> Changes:
        current, new = snapshot.read(touched), rows
        if seen is not None and on_conflict != "mine":
            conflicts = find_conflicts(seen, current, new)
            if conflicts.num_rows and on_conflict == "refuse":
                raise LabelConflictError(conflicts)
            ids = conflicts["particle_id"].combine_chunks()
            new = new.filter(pc.invert(pc.is_in(new["particle_id"], ids)))
        return plan_changes(current, new, anew=mosaics)

    return commit_changes(
        archive,
        plan,
        method=method,
        author=author,
        run_id=run_id,
        code_version=code_version,
        mosaics=touched,
        model_uri=model_uri,
        rules=rules,
    )


def commit_changes(
    archive: Archive,
    plan: Callable[[Snapshot], Changes],
    *,
    method: str,
    author: str,
    run_id: str,
    code_version: str,
    mosaics: Collection[str] = (),
    model_uri: str | None = None,
    rules: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
) -> LabelVersion:
    """Commit what ``plan`` makes of the newest rows; it is asked anew whenever others came first.

    ``rules`` may be a function, which is called once planning is over; see `commit_labels` for
    the rest.

    Raises
    ------
    LabelError
        If others keep committing in between.
    """
    patience_ends = time.monotonic() + _PATIENCE_S
    pause_s = 0.01
    while time.monotonic() < patience_ends:
        snapshot = open_snapshot(archive)
        changes = plan(snapshot)
        parent = snapshot.version
        if parent and not changes:
            return replace(parent, is_new=False)
        n_rows, n_labelled = changes.count_after(
            *((parent.n_rows, parent.n_labelled) if parent else (0, 0))
        )
        made = LabelVersion(
            version=0 if snapshot.number is None else snapshot.number + 1,
            digest=changes.digest_after(_digest_by_rows(snapshot)),
            parent_version=parent.version if parent else None,
            parent_digest=parent.digest if parent else None,
            method=method,
            author=author,
            run_id=run_id,
            model_uri=model_uri,
            code_version=code_version,
            mosaics=tuple(sorted(mosaics)),
            n_rows=n_rows,
            n_labelled=n_labelled,
            at=datetime.now(UTC),
            rules=(rules() if callable(rules) else rules) or {},
        )
        made = sealed(made, parent.seal if parent else "")
        if write_version(snapshot, changes, made):
            return made
        # Many writers that lost together must not come back together.
        time.sleep(random.uniform(0, pause_s))
        pause_s = min(2 * pause_s, 1.0)
    raise LabelError(f"labels of {archive.root}: others kept committing for {_PATIENCE_S:.0f} s")


def rollback(
    archive: Archive, version: int, *, author: str, run_id: str = "", code_version: str
) -> LabelVersion:
    """Commit the rows of an earlier version as a new one; nothing in between is lost.

    Returns
    -------
    made : LabelVersion
        Of the same digest; the current one, not new, if it has these rows already.

    Raises
    ------
    LabelError
        If there is no such version.
    """
    found = find_version(archive, version)
    wanted = read_rows(archive, "labels", version=version)
    return commit_changes(
        archive,
        lambda snapshot: changes_between(snapshot.read(), wanted),
        method="rollback",
        author=author,
        run_id=run_id,
        code_version=code_version,
        mosaics=pc.unique(wanted["mosaic"]).to_pylist(),
        rules={"restored_version": version, "restored_digest": found.digest},
    )


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


def _digest_by_rows(snapshot: Snapshot) -> str:
    """Return a digest of the rows that changes can be added to and taken from."""
    version = snapshot.version
    if version and version.digest_kind == BY_ROWS:
        return version.digest
    return digest_labels(snapshot.read())
