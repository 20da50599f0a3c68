"""What people decide about labels: proposals taken or refused, labels set, versions released."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.errors import LabelError
from pipelines.labels.changes import Changes, plan_changes
from pipelines.labels.conflicts import LabelConflictError, find_conflicts
from pipelines.labels.table import (
    ACCEPTED,
    FLAGGED,
    GIVEN,
    PROPOSED,
    REJECTED,
    RELEASED,
    UNDETERMINABLE,
    check_labels,
)
from pipelines.tables import read_rows, to_table
from services.label_store import OnConflict, commit_changes
from services.label_table import Snapshot
from services.label_versions import LabelVersion, find_version, list_versions

SOURCE = "person"
#: What a person can say of a label: take what is proposed, keep what was there, set another one,
#: say that nobody can tell, or doubt it anew.
Verdict = Literal["accept", "reject", "label", "undeterminable", "flag"]
_STATE_AFTER: Mapping[str, str] = {
    "accept": ACCEPTED,
    "reject": REJECTED,
    "label": ACCEPTED,
    "undeterminable": UNDETERMINABLE,
    "flag": FLAGGED,
}
#: States that are somebody's decision, and so can be released.
DECIDED = (ACCEPTED, REJECTED, UNDETERMINABLE)
_IDENTITY = ["particle_id", "mosaic", "instance", "segmentation"]


@dataclass(frozen=True)
class Decision:
    """What somebody decided about one particle; ``label`` goes with the verdict "label" alone."""

    particle_id: int
    verdict: Verdict
    label: str | None = None
    reason: str = ""


def decide(
    archive: Archive,
    decisions: Collection[Decision],
    *,
    author: str,
    code_version: str,
    run_id: str = "",
    base: int | None = None,
    on_conflict: OnConflict = "refuse",
) -> LabelVersion:
    """Commit a person's decisions as a new version.

    Parameters
    ----------
    archive : Archive
        The archive.
    decisions : collection of Decision
        One per particle. A particle without a label can be given one.
    author, code_version, run_id : str
        Who decided, with which code, in which run.
    base : int, optional
        The version that the person looked at: labels that changed since are conflicts.
    on_conflict : {"refuse", "mine", "theirs"}
        What becomes of them, as in `services.label_store.commit_labels`.

    Raises
    ------
    LabelError
        If a particle is not there, a decision may not follow its state, or it cannot be told what
        to go back to.
    LabelConflictError
        If others changed the labels in between, and that is refused.
    """
    said = {decision.particle_id: decision for decision in decisions}
    _check(decisions, said)
    if base is not None:
        find_version(archive, base)

    def plan(snapshot: Snapshot) -> Changes:
        current = _rows_of(archive, said, snapshot.number)
        rows = _decided_rows(archive, current, list(said.values()), author, snapshot)
        if base is not None and on_conflict != "mine":
            conflicts = find_conflicts(_rows_of(archive, said, base), current, rows)
            if conflicts.num_rows and on_conflict == "refuse":
                raise LabelConflictError(conflicts)
            theirs = conflicts["particle_id"].combine_chunks()
            rows = rows.filter(pc.invert(pc.is_in(rows["particle_id"], theirs)))
        check_labels(rows)
        return plan_changes(current, rows)

    counts: dict[str, int] = {}
    for decision in said.values():
        counts[decision.verdict] = counts.get(decision.verdict, 0) + 1
    return commit_changes(
        archive,
        plan,
        method="decisions",
        author=author,
        run_id=run_id,
        code_version=code_version,
        rules={"decisions": counts},
    )


def release(
    archive: Archive,
    *,
    author: str,
    code_version: str,
    run_id: str = "",
    mosaics: Sequence[str] | None = None,
    include_given: bool = False,
) -> LabelVersion:
    """Release decided labels: from then on they change only after somebody flags them.

    Accepted, rejected and undeterminable rows are released, as somebody stands for them. Weak
    labels are only on request, as nobody looked at them. Labels in doubt stay as they are.

    Raises
    ------
    LabelError
        If there is nothing to release.
    """
    states = [*DECIDED, GIVEN] if include_given else list(DECIDED)

    def plan(snapshot: Snapshot) -> Changes:
        current = snapshot.read(mosaics)
        ready = pc.and_(
            pc.is_in(current["state"], pa.array(states)),
            pc.or_(pc.is_valid(current["label"]), pc.not_equal(current["state"], GIVEN)),
        )
        rows = current.filter(ready)
        if not rows.num_rows:
            raise LabelError(
                f"archive {archive.root} has no label to release: none is {', '.join(states)}"
            )
        return plan_changes(current, _with(rows, state=RELEASED))

    return commit_changes(
        archive,
        plan,
        method="release",
        author=author,
        run_id=run_id,
        code_version=code_version,
        mosaics=mosaics or (),
        rules={"released_states": states},
    )


def _check(decisions: Collection[Decision], said: Mapping[int, Decision]) -> None:
    if not said:
        raise LabelError("there is nothing to decide: give one decision at least")
    if len(said) != len(decisions):
        raise LabelError("a particle was decided twice: give one decision for each")
    for decision in said.values():
        if decision.verdict not in _STATE_AFTER:
            raise LabelError(
                f"verdict must be one of {', '.join(_STATE_AFTER)}, got {decision.verdict!r}"
            )
        if (decision.label is not None) != (decision.verdict == "label"):
            raise LabelError(
                f"particle {decision.particle_id}: the verdict 'label' needs a label and no other "
                f"takes one, got {decision.verdict!r} with {decision.label!r}"
            )


def _rows_of(archive: Archive, ids: Collection[int], version: int | None) -> pa.Table:
    return read_rows(
        archive, "labels", filters=[("particle_id", "in", sorted(ids))], version=version
    )


def _decided_rows(
    archive: Archive,
    current: pa.Table,
    decisions: Sequence[Decision],
    author: str,
    snapshot: Snapshot,
) -> pa.Table:
    """Return the label rows that decisions lead to."""
    rows = {row["particle_id"]: row for row in current.to_pylist()}
    if unknown := [d.particle_id for d in decisions if d.particle_id not in rows]:
        # Nobody labelled them so far, such as particles that a new segmentation found.
        found = read_rows(
            archive, "particles", columns=_IDENTITY, filters=[("particle_id", "in", unknown)]
        )
        rows |= {row["particle_id"]: row for row in found.to_pylist()}
    refused = {
        d.particle_id
        for d in decisions
        if d.verdict == "reject" and rows.get(d.particle_id, {}).get("state") == PROPOSED
    }
    earlier = earlier_labels(archive, refused, snapshot.number) if refused else {}
    new: list[dict[str, Any]] = []
    for decision in decisions:
        row = rows.get(decision.particle_id)
        if row is None:
            raise LabelError(f"archive {archive.root} has no particle {decision.particle_id}")
        labels = {"label": decision.label, "undeterminable": None}
        label = labels.get(decision.verdict, row.get("label"))
        if decision.particle_id in refused:
            label = earlier[decision.particle_id]
        if label is None and decision.verdict in ("accept", "reject"):
            raise LabelError(
                f"particle {decision.particle_id} has no label to {decision.verdict}: say which"
            )
        new.append(
            {
                **{name: row[name] for name in _IDENTITY},
                "label": label,
                "state": _STATE_AFTER[decision.verdict],
                "source": SOURCE,
                "method": decision.verdict,
                "confidence": None if decision.verdict == "flag" else 1.0,
                "decided_by": author,
                "reason": decision.reason or None,
            }
        )
    return to_table("labels", new)


def earlier_labels(
    archive: Archive, particle_ids: Collection[int], before: int | None
) -> dict[int, str | None]:
    """Return the labels that proposals stand in place of, from the newest version without them.

    Raises
    ------
    LabelError
        If a label was proposed from the beginning, or before a new segmentation.
    """
    wanted = set(particle_ids)
    found: dict[int, str | None] = {}
    segmentation: dict[int, str] = {}
    for version in reversed(list_versions(archive)):
        if before is not None and version.version > before:
            continue
        for row in _rows_of(archive, wanted, version.version).to_pylist():
            particle = row["particle_id"]
            same = segmentation.setdefault(particle, row["segmentation"]) == row["segmentation"]
            if same and row["state"] != PROPOSED:
                found[particle] = row["label"]
        wanted -= found.keys()
        if not wanted:
            return found
    raise LabelError(
        f"what label particle {min(wanted)} had before the proposal is not known: say which label"
    )


def _with(rows: pa.Table, **values: str) -> pa.Table:
    """Return the rows with one value in some columns."""
    for name, value in values.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(np.full(len(rows), value)))
    return rows
