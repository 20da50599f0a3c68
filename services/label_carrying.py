"""Labels survive a new segmentation: they are carried over to the particles that are the same."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archive import Archive
from pipelines.labels.changes import Changes, changes_between, find_rows
from pipelines.labels.succession import (
    CARRIED,
    MERGED,
    SPLIT,
    UNSURE,
    Succession,
    find_succession,
    succeed_labels,
)
from pipelines.labels.table import GIVEN
from pipelines.mosaic.ngff import GROUP_FILE, read_attributes
from pipelines.schemas import LABELS
from pipelines.segmentation.scoring import count_mosaic
from pipelines.tables import read_rows
from services.author import system_user
from services.label_store import commit_changes
from services.label_table import Snapshot
from services.label_versions import LabelVersion
from services.progress import note
from services.versions import code_version

INSTANCES = "instances"


@dataclass(frozen=True)
class CarryReport:
    """What became of the labels of one mosaic's earlier segmentation.

    ``n_carried`` labels stay as they were; ``n_split``, ``n_merged`` and ``n_unsure`` new
    particles are flagged for review; ``n_newcomers`` new particles have no label; ``n_lost``
    labels belong to particles that are no more. Where ``is_possible`` is False the earlier
    instance image is gone, and the labels stay with it, belonging to no particle.
    """

    mosaic: str
    segmentation_before: str
    segmentation: str
    n_carried: int = 0
    n_split: int = 0
    n_merged: int = 0
    n_unsure: int = 0
    n_newcomers: int = 0
    n_lost: int = 0
    is_possible: bool = True


def carry_over(
    archive: Archive,
    mosaics: Iterable[str],
    *,
    author: str,
    code_version: str,
    run_id: str = "",
) -> tuple[LabelVersion | None, list[CarryReport]]:
    """Carry the labels of earlier segmentations over to the ones that are published.

    Particles are the same if their pixels' intersection over union is above 0.5; everything else
    is flagged or reported, and no label moves by equal ids. Without anything to carry nothing is
    written, and calling it again does nothing.

    Parameters
    ----------
    archive : Archive
        The archive.
    mosaics : iterable of str
        Their names; those without instances or labels are passed over.
    author, code_version, run_id : str
        Who segmented anew, with which code, in which run.

    Returns
    -------
    version : LabelVersion or None
        The new label version; None where there was nothing to carry.
    reports : list of CarryReport
        One per mosaic and earlier segmentation.
    """
    published = {name: published_segmentation(archive.mosaic(name)) for name in mosaics}
    newest = {name: found for name, found in published.items() if found is not None}
    stale = [
        name
        for name, segmentation in _segmentations(archive, newest)
        if segmentation is not None and segmentation != newest[name]
    ]
    if not stale:
        return None, []
    names = sorted(set(stale))
    reports: list[CarryReport] = []
    successions: dict[tuple[str, str], Succession | None] = {}

    def plan(snapshot: Snapshot) -> Changes:
        current = snapshot.read(names)
        reports.clear()
        after = [LABELS.empty_table()]
        for name in names:
            own = current.filter(pc.equal(current["mosaic"], name))
            after.append(_carry(archive, name, newest[name], own, successions, reports))
        return changes_between(current, pa.concat_tables(after))

    version = commit_changes(
        archive,
        plan,
        method="carry over",
        author=author,
        run_id=run_id,
        code_version=code_version,
        mosaics=names,
        rules=lambda: {"carried": [asdict(report) for report in reports]},
    )
    return version if version.is_new else None, reports


def carry_labels(archive: Archive, mosaics: Iterable[str]) -> dict[str, int]:
    """Carry labels over after a segmentation; return what is worth telling, and note the rest."""
    version, reports = carry_over(
        archive, mosaics, author=system_user(), code_version=code_version()
    )
    for report in reports:
        if report.is_possible:
            note(
                f"labels of {report.mosaic} carried over: {report.n_carried} as they were; to "
                f"review {report.n_split} split, {report.n_merged} merged, {report.n_unsure} "
                f"unsure; {report.n_newcomers} newcomers, {report.n_lost} lost"
            )
        else:
            note(
                f"labels of {report.mosaic} cannot be carried over: its segmentation "
                f"{report.segmentation_before} is gone"
            )
    if version is None:
        return {}
    review = sum(report.n_split + report.n_merged + report.n_unsure for report in reports)
    return {
        "label_version": version.version,
        "labels_carried": sum(report.n_carried for report in reports),
        "labels_to_review": review,
        "labels_lost": sum(report.n_lost for report in reports),
    }


def count_stale(archive: Archive) -> int:
    """Count labels that belong to another segmentation than the published one."""
    rows = read_rows(archive, "labels", columns=["mosaic", "segmentation"])
    counts = rows.group_by(["mosaic", "segmentation"]).aggregate([([], "count_all")])
    return sum(
        row["count_all"]
        for row in counts.to_pylist()
        if row["segmentation"] not in (None, published_segmentation(archive.mosaic(row["mosaic"])))
    )


def published_segmentation(mosaic_path: Path) -> str | None:
    """Return the digest of the segmentation that counts; None where there is none."""
    found = (read_attributes(mosaic_path / "labels" / INSTANCES) or {}).get("tessera", {})
    digest = found.get("segmentation")
    return None if digest is None else str(digest)


def image_of(archive: Archive, mosaic: str, segmentation: str | None) -> str | None:
    """Return where under ``labels/`` the instances of a segmentation lie; None if they are gone."""
    labels = archive.mosaic(mosaic) / "labels"
    groups = [labels / INSTANCES / GROUP_FILE, *sorted(labels.glob(f"{INSTANCES}-*/{GROUP_FILE}"))]
    for group in groups:
        found = (read_attributes(group.parent) or {}).get("tessera", {})
        if segmentation is not None and found.get("segmentation") == segmentation:
            return group.parent.name
    return None


def find_successors(archive: Archive, mosaic: str, segmentation: str) -> Succession | None:
    """Match the particles of an earlier segmentation to the published ones; None if it is gone."""
    earlier = image_of(archive, mosaic, segmentation)
    if earlier is None:
        return None
    return find_succession(count_mosaic(archive.mosaic(mosaic), INSTANCES, earlier))


def _carry(
    archive: Archive,
    mosaic: str,
    segmentation: str,
    rows: pa.Table,
    successions: dict[tuple[str, str], Succession | None],
    reports: list[CarryReport],
) -> pa.Table:
    """Return the rows that a mosaic has after its labels were carried over."""
    is_current = pc.fill_null(pc.equal(rows["segmentation"], segmentation), True)
    after = rows.filter(is_current)
    earlier = rows.filter(pc.invert(is_current))
    for before in pc.unique(earlier["segmentation"]).to_pylist():
        own = earlier.filter(pc.equal(earlier["segmentation"], before))
        if (mosaic, before) not in successions:
            successions[mosaic, before] = find_successors(archive, mosaic, before)
        found = successions[mosaic, before]
        if found is None:
            reports.append(CarryReport(mosaic, before, segmentation, is_possible=False))
            after = _add(after, own)
            continue
        reports.append(_report(mosaic, before, segmentation, own, found))
        after = _add(after, succeed_labels(own, found, mosaic=mosaic, segmentation=segmentation))
    return after


def _add(rows: pa.Table, more: pa.Table) -> pa.Table:
    """Add rows; where a particle has one already, a decision goes before a weak label."""
    place = find_rows(rows, more)
    is_free = place < 0
    was_weak = np.zeros(more.num_rows, dtype=bool)
    was_weak[~is_free] = pc.equal(rows["state"], GIVEN).to_numpy()[place[~is_free]]
    is_decided = pc.not_equal(more["state"], GIVEN).to_numpy()
    goes = np.zeros(rows.num_rows, dtype=bool)
    goes[place[~is_free & was_weak & is_decided]] = True
    added = more.filter(pa.array(is_free | (was_weak & is_decided)))
    return pa.concat_tables([rows.filter(pa.array(~goes)), added])


def _report(
    mosaic: str, before: str, segmentation: str, rows: pa.Table, found: Succession
) -> CarryReport:
    """Count the labelled particles alone, except for newcomers."""
    labelled = rows["instance"].to_numpy()
    is_labelled = np.isin(found.old, labelled)

    def count(kind: str) -> int:
        return len(np.unique(found.new[is_labelled & (found.kind == kind)]))

    return CarryReport(
        mosaic=mosaic,
        segmentation_before=before,
        segmentation=segmentation,
        n_carried=count(CARRIED),
        n_split=count(SPLIT),
        n_merged=count(MERGED),
        n_unsure=count(UNSURE),
        n_newcomers=len(found.newcomers),
        n_lost=int(np.isin(labelled, found.lost).sum()),
    )


def _segmentations(archive: Archive, mosaics: Iterable[str]) -> list[tuple[str, str | None]]:
    """List the segmentations that the labels of some mosaics belong to."""
    rows = read_rows(
        archive,
        "labels",
        columns=["mosaic", "segmentation"],
        filters=[("mosaic", "in", sorted(mosaics))],
    )
    pairs = rows.group_by(["mosaic", "segmentation"]).aggregate([]).to_pylist()
    return [(pair["mosaic"], pair["segmentation"]) for pair in pairs]
