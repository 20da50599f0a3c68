"""Draw particles for a person to check, evenly over classes, sizes and mosaics."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.errors import ArchiveError
from pipelines.labels.table import UNDETERMINABLE
from pipelines.randomness import hash_to_unit
from pipelines.tables import read_rows
from services.label_store import read_labels
from services.trust.portions import read_trusted

#: Particles are small, middling or large within their mosaic.
SIZES = ("small", "middling", "large")
NO_LABEL = "unlabelled"
#: Columns of the sheet to fill in. The given label is not among them: it would be believed.
SHEET = ("number", "mosaic", "instance", "particle_id", "segmentation", "label", "reason")
_COLUMNS = [
    "particle_id",
    "mosaic",
    "instance",
    "segmentation",
    "equivalent_diameter_px",
    "touches_edge",
    "low_contrast",
]


@dataclass(frozen=True)
class Sample:
    """Particles to check.

    Attributes
    ----------
    rows : pyarrow.Table
        ``particle_id, mosaic, instance, segmentation, stratum``, in the order of the sheet.
    n_strata : int
        Kinds of particles (class, size and mosaic) that there are.
    n_strata_drawn : int
        Those that some of the sample are of.
    """

    rows: pa.Table
    n_strata: int
    n_strata_drawn: int


def draw_sample(archive: Archive, mosaics: Sequence[str], n: int, *, seed: int) -> Sample:
    """Draw particles that nobody checked yet, whole ones of enough contrast.

    Every class, size and mosaic that occurs gets an equal share as far as it has so many, so that
    rare kinds are checked too.

    Parameters
    ----------
    archive : Archive
        The archive.
    mosaics : sequence of str
        Mosaics to draw from.
    n : int
        Particles to draw; all if there are fewer.
    seed : int
        Another seed draws others.

    Raises
    ------
    ArchiveError
        If there is nothing to draw from.
    """
    particles = read_rows(
        archive, "particles", columns=_COLUMNS, filters=[("mosaic", "in", list(mosaics))]
    )
    flagged = pc.or_kleene(particles["touches_edge"], particles["low_contrast"])
    particles = particles.filter(pc.invert(pc.fill_null(flagged, False)))
    checked = read_trusted(archive)["particle_id"].combine_chunks()
    particles = particles.filter(pc.invert(pc.is_in(particles["particle_id"], checked)))
    if not particles.num_rows:
        raise ArchiveError(
            f"archive {archive.root} has no particle to check in {', '.join(mosaics[:3])}: all are "
            "checked, flagged, or not segmented yet"
        )
    strata = _strata(archive, particles)
    ids = particles["particle_id"].to_numpy()
    chosen = _evenly(strata, hash_to_unit(ids, seed, "trust sample"), n)
    rows = particles.select(["particle_id", "mosaic", "instance", "segmentation"])
    rows = rows.append_column("stratum", pa.array(strata)).take(pa.array(chosen))
    return Sample(rows, len(set(strata)), len(set(rows["stratum"].to_pylist())))


def write_sheet(sample: Sample, path: Path) -> None:
    """Write the CSV file to fill in: the column ``label`` is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, SHEET, restval="", extrasaction="ignore")
        writer.writeheader()
        for number, row in enumerate(sample.rows.to_pylist(), start=1):
            writer.writerow({"number": number, **row})


def _strata(archive: Archive, particles: pa.Table) -> list[str]:
    labels = read_labels(archive, with_unlabelled=True)
    names = pc.if_else(pc.equal(labels["state"], UNDETERMINABLE), UNDETERMINABLE, labels["label"])
    labels = labels.select(["particle_id", "segmentation"]).append_column("name", names)
    label_of = {(r["particle_id"], r["segmentation"]): r["name"] for r in labels.to_pylist()}
    sizes = _sizes(particles)
    return [
        f"{label_of.get((r['particle_id'], r['segmentation'])) or NO_LABEL}, {size}, {r['mosaic']}"
        for r, size in zip(particles.to_pylist(), sizes, strict=True)
    ]


def _sizes(particles: pa.Table) -> NDArray[np.str_]:
    """Call a third of each mosaic's particles small, a third large."""
    diameters = particles["equivalent_diameter_px"].fill_null(0.0).to_numpy()
    mosaics = particles["mosaic"].to_numpy(zero_copy_only=False).astype(str)
    sizes = np.empty(len(diameters), dtype="<U8")
    for mosaic in np.unique(mosaics):
        own = mosaics == mosaic
        ends = np.quantile(diameters[own], [1 / 3, 2 / 3])
        sizes[own] = np.array(SIZES)[np.searchsorted(ends, diameters[own], side="left")]
    return sizes


def _evenly(strata: Sequence[str], places: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Choose by turns from each stratum, in each by lot."""
    _, stratum = np.unique(np.array(strata), return_inverse=True)
    order = np.lexsort((places, stratum))
    starts = np.flatnonzero(np.r_[True, np.diff(stratum[order]) != 0])
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    # Within a turn by lot too: where a turn is not completed, no stratum comes first by its name.
    by_turn = order[np.lexsort((places[order], turn))]
    chosen: NDArray[np.int64] = by_turn[:n].astype(np.int64)
    return chosen
