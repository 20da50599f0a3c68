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

_GEOMETRY = [
    "particle_id",
    "mosaic",
    "instance",
    "segmentation",
    "centroid_y_px",
    "centroid_x_px",
    "orientation_rad",
    "major_axis_px",
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
        there is none, ordered by particle id.
    version : LabelVersion
        Where the given labels are from.
    held_out : tuple of str
        Mosaics that were kept for testing.
    segmentations : dict of str to str
        Digest of each mosaic's segmentation.
    """

    mosaics: list[MosaicInfo]
    rows: pa.Table
    version: LabelVersion
    held_out: tuple[str, ...]
    segmentations: dict[str, str]

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
    )


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
