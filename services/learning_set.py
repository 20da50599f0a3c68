"""What an archive has to learn from and to be tested on: particles, labels, truth, digests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.classifiers.plan import Particles
from pipelines.errors import LabelError
from pipelines.labels.table import PENDING
from pipelines.mosaic.ome_zarr import MosaicInfo, open_mosaic
from pipelines.segmentation.scoring import known_labels
from pipelines.tables import read_rows
from services.label_store import LabelVersion, current_version, find_version, read_labels
from services.trust.portions import JUDGE, find_portions, read_trusted

_GEOMETRY = [
    "particle_id",
    "mosaic",
    "instance",
    "segmentation",
    "centroid_y_px",
    "centroid_x_px",
    "orientation_rad",
    "major_axis_px",
    "bbox_y0_px",
    "bbox_x0_px",
    "bbox_y1_px",
    "bbox_x1_px",
]


@dataclass(frozen=True)
class LearningSet:
    """Particles with a label or a known truth, and what they come from.

    Attributes
    ----------
    mosaics : list of MosaicInfo
        Those that particles lie in.
    rows : pyarrow.Table
        Geometry of the particles, with ``label`` (given) and ``true_label``, both null where
        there is none, and ``portion`` of the trusted labels, "" for most; ordered by particle id.
        What a person checked counts as true. Particles that judge have no given label.
    version : LabelVersion
        Where the given labels are from.
    held_out : tuple of str
        Mosaics that were kept for testing.
    segmentations : dict of str to str
        Digest of each mosaic's segmentation.
    judge_ids : frozenset of int
        All particles that judge, also those of ``rows`` that have no class: nothing is ever
        learnt from them.
    """

    mosaics: list[MosaicInfo]
    rows: pa.Table
    version: LabelVersion
    held_out: tuple[str, ...]
    segmentations: dict[str, str]
    judge_ids: frozenset[int]

    def is_in_portion(self, portion: str) -> NDArray[np.bool_]:
        """Tell which particles belong to a portion of the trusted labels."""
        return np.asarray(self.rows["portion"].to_numpy(zero_copy_only=False) == portion)

    @property
    def particles(self) -> Particles:
        """The particles, as learners take them."""
        return to_particles(self.rows, [info.name for info in self.mosaics])

    @property
    def in_held_out(self) -> NDArray[np.bool_]:
        """Which particles were kept for testing."""
        return np.isin(self.rows["mosaic"].to_numpy(zero_copy_only=False), self.held_out)

    def class_indices(self, column: str, classes: Sequence[str]) -> NDArray[np.int64]:
        """Return the labels of a column as indices into ``classes``; -1 for all others."""
        index = {name: number for number, name in enumerate(classes)}
        return np.array([index.get(name, -1) for name in self.rows[column].to_pylist()], dtype=int)

    def digests(self) -> dict[str, Any]:
        """Return what a model made from this must carry."""
        return {
            "mosaics": {info.name: info.digest for info in self.mosaics},
            "segmentations": self.segmentations,
            "label_version": self.version.version,
            "label_digest": self.version.digest,
        }


def read_learning_set(
    archive: Archive,
    *,
    mosaics: Sequence[str],
    held_out: Sequence[str],
    label_version: int | None = None,
) -> LearningSet:
    """Join particles with their labels and with the truth, where there is any.

    Labels in doubt, which wait for a decision, are left out.

    Parameters
    ----------
    archive : Archive
        The archive.
    mosaics : sequence of str
        Those to learn from.
    held_out : sequence of str
        Those to be tested on.
    label_version : int, optional
        The newest by default.

    Raises
    ------
    LabelError
        If there are no labels, none of the version, or none of these particles.
    """
    version = (
        current_version(archive) if label_version is None else find_version(archive, label_version)
    )
    if version is None:
        raise LabelError(f"archive {archive.root} has no labels: run tessera label first")
    names = [*mosaics, *held_out]
    particles = read_rows(
        archive, "particles", columns=_GEOMETRY, filters=[("mosaic", "in", names)]
    )
    if not particles.num_rows:
        raise LabelError(f"archive {archive.root} has no particles: run tessera segment first")
    labels = read_labels(archive, version.version)
    labels = labels.filter(pc.is_in(labels["mosaic"], pa.array(list(mosaics), pa.string())))
    labels = labels.filter(pc.invert(pc.is_in(labels["state"], pa.array(PENDING))))
    # Ids start anew with every segmentation, so an older label may be of another particle.
    joined = particles.join(
        labels.select(["particle_id", "segmentation", "label"]), ["particle_id", "segmentation"]
    )
    if joined["label"].null_count == joined.num_rows:
        raise LabelError(
            f"label version {version.version} has no label of a particle in "
            f"{', '.join(sorted(mosaics))}: label again after segmenting again"
        )
    known = known_labels(archive, names)
    known = known.filter(known["determinable"]).select(["particle_id", "label"])
    joined = joined.join(known.rename_columns(["particle_id", "true_label"]), "particle_id")
    joined, judge_ids = _set_apart(archive, joined)
    used = pc.or_(pc.is_valid(joined["label"]), pc.is_valid(joined["true_label"]))
    rows = joined.filter(used).sort_by("particle_id")
    present = sorted(set(rows["mosaic"].to_pylist()))
    pairs = particles.group_by(["mosaic", "segmentation"]).aggregate([]).to_pylist()
    return LearningSet(
        mosaics=[open_mosaic(archive.mosaic(name)).info for name in present],
        rows=rows,
        version=version,
        held_out=tuple(held_out),
        segmentations={p["mosaic"]: p["segmentation"] for p in pairs if p["mosaic"] in present},
        judge_ids=judge_ids,
    )


def _set_apart(archive: Archive, rows: pa.Table) -> tuple[pa.Table, frozenset[int]]:
    """Give particles that a person checked their portion and class; return also who judges.

    The given labels of those that judge are taken away here, where every learner's particles
    come from, so that no setting can bring one of them into a training.
    """
    portions = find_portions(archive, rows)
    judges = pa.array(portions == JUDGE)
    trusted = read_trusted(archive).select(["particle_id", "segmentation", "label"])
    trusted = trusted.rename_columns(["particle_id", "segmentation", "checked"])
    trusted = trusted.append_column("is_checked", pa.array([True] * trusted.num_rows, pa.bool_()))
    rows = rows.append_column("portion", pa.array(portions)).append_column("judges", judges)
    rows = rows.join(trusted, ["particle_id", "segmentation"])
    nothing = pa.scalar(None, pa.string())
    label = pc.if_else(rows["judges"], nothing, rows["label"])
    true = pc.if_else(pc.fill_null(rows["is_checked"], False), rows["checked"], rows["true_label"])
    judge_ids = frozenset(rows.filter(rows["judges"])["particle_id"].to_pylist())
    for name, values in (("label", label), ("true_label", true)):
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows.drop_columns(["judges", "checked", "is_checked"]), judge_ids


def to_particles(rows: pa.Table, mosaics: Sequence[str]) -> Particles:
    """Turn rows of the particles table into what learners take."""
    index = {name: number for number, name in enumerate(mosaics)}
    return Particles(
        particle_ids=rows["particle_id"].to_numpy(),
        mosaic_index=np.array([index[name] for name in rows["mosaic"].to_pylist()], dtype=int),
        centres_yx=np.stack(
            [rows["centroid_y_px"].to_numpy(), rows["centroid_x_px"].to_numpy()], axis=1
        ),
        orientations_rad=rows["orientation_rad"].to_numpy(),
    )
