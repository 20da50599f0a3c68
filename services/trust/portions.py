"""Two portions of the trusted labels: one that may be learnt from, one that only judges."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.randomness import hash_to_unit
from pipelines.tables import read_rows
from services.label_carrying import published_segmentation

Bools = NDArray[np.bool_]
Portion = Literal["learn", "judge"]
LEARN, JUDGE = "learn", "judge"
PORTIONS = (LEARN, JUDGE)
#: Share of the trusted particles that judge. Never to be changed: portions are for good.
JUDGE_SHARE = 0.5
_BOX = ("bbox_y0_px", "bbox_x0_px", "bbox_y1_px", "bbox_x1_px")
#: Columns of the particles table that `find_portions` needs.
COLUMNS = ("particle_id", "mosaic", "segmentation", *_BOX)


def draw_portions(particle_ids: NDArray[np.int64]) -> NDArray[np.str_]:
    """Draw the portion of particles by their ids alone, the same at any time."""
    places = hash_to_unit(np.asarray(particle_ids, dtype=np.int64), 0, "trusted portion")
    return np.where(places < JUDGE_SHARE, JUDGE, LEARN)


def read_trusted(archive: Archive, portion: Portion | None = None) -> pa.Table:
    """Read the trusted labels of the particles that are there now.

    Parameters
    ----------
    archive : Archive
        The archive.
    portion : {"learn", "judge"}, optional
        Both by default.

    Returns
    -------
    rows : pyarrow.Table
        Rows of the table ``trusted``, of the published segmentations alone, ordered by particle.
        ``label`` is null where nobody can tell.
    """
    rows = read_all_trusted(archive)
    is_current = np.zeros(rows.num_rows, dtype=bool)
    for mosaic in pc.unique(rows["mosaic"]).to_pylist():
        published = published_segmentation(archive.mosaic(mosaic))
        own = pc.and_(pc.equal(rows["mosaic"], mosaic), pc.equal(rows["segmentation"], published))
        is_current |= pc.fill_null(own, False).to_numpy()
    rows = rows.filter(pa.array(is_current))
    if portion is not None:
        rows = rows.filter(pc.equal(rows["portion"], portion))
    return rows.sort_by("particle_id")


def read_all_trusted(archive: Archive, mosaics: Sequence[str] | None = None) -> pa.Table:
    """Read what was said last of each particle of each segmentation, past ones included."""
    where = None if mosaics is None else [("mosaic", "in", list(mosaics))]
    rows = read_rows(archive, "trusted", filters=where)
    newest: dict[tuple[Any, Any], int] = {}
    times = rows["at"].to_pylist()
    keys = zip(rows["particle_id"].to_pylist(), rows["segmentation"].to_pylist(), strict=True)
    for place, key in enumerate(keys):
        if key not in newest or times[newest[key]] <= times[place]:
            newest[key] = place
    return rows.take(pa.array(sorted(newest.values()), pa.int64()))


def find_portions(archive: Archive, particles: pa.Table) -> NDArray[np.str_]:
    """Tell which portion particles belong to; "" for those that nobody checked.

    A particle of a later segmentation belongs to the portion of every checked particle whose box
    it overlaps, whether or not it was carried over; where it overlaps both, it judges. So nothing
    that judges can come back as something to learn from under another id.

    Parameters
    ----------
    archive : Archive
        The archive.
    particles : pyarrow.Table
        Rows of the particles table with `COLUMNS`.
    """
    portions = np.full(particles.num_rows, "", dtype="<U5")
    mosaics = pc.unique(particles["mosaic"]).to_pylist()
    trusted = read_all_trusted(archive, mosaics)
    if not trusted.num_rows:
        return portions
    names = particles["mosaic"].to_numpy(zero_copy_only=False).astype(str)
    for mosaic in pc.unique(trusted["mosaic"]).to_pylist():
        own = np.flatnonzero(names == mosaic)
        checked = trusted.filter(pc.equal(trusted["mosaic"], mosaic))
        inside = particles.select(COLUMNS).take(pa.array(own))
        # The judges come last, and so win.
        for portion in PORTIONS:
            of_portion = checked.filter(pc.equal(checked["portion"], portion))
            portions[own[_is_or_overlaps(inside, of_portion)]] = portion
    return portions


def _is_or_overlaps(particles: pa.Table, checked: pa.Table) -> Bools:
    """Tell which particles were checked, or lie where one of another segmentation was."""
    found = np.zeros(particles.num_rows, dtype=bool)
    segmentations = particles["segmentation"].to_numpy(zero_copy_only=False)
    ids, boxes = particles["particle_id"].to_numpy(), _boxes(particles)
    for segmentation in pc.unique(checked["segmentation"]).to_pylist():
        own = checked.filter(pc.equal(checked["segmentation"], segmentation))
        same = segmentations == segmentation
        found |= same & np.isin(ids, own["particle_id"].to_numpy())
        if same.all():
            continue
        for y0, x0, y1, x1 in _boxes(own):
            apart = (boxes[:, 0] >= y1) | (boxes[:, 2] <= y0)
            apart |= (boxes[:, 1] >= x1) | (boxes[:, 3] <= x0)
            # Where a box is not known nothing is apart: rather too few to learn from.
            found |= ~same & ~apart
    return found


def _boxes(rows: pa.Table) -> NDArray[np.float64]:
    columns = [rows[name].cast(pa.float64()).to_numpy() for name in _BOX]
    boxes: NDArray[np.float64] = np.stack(columns, axis=1)
    return boxes
