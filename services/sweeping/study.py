"""Make a study set from an archive whose truth is known, or from images of digits."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.classifiers.plan import plan_classes, plan_view
from pipelines.digests import digest_json
from pipelines.errors import LabelError
from pipelines.labels.noise import difficulty_of
from pipelines.mosaic.ome_zarr import MosaicInfo, open_mosaic
from pipelines.segmentation.scoring import known_labels
from pipelines.sweeps.study_set import CONTROL, LEARN, TEST, StudySet, write_study_set
from pipelines.tables import read_rows
from pipelines.training.augmentation import Augmentation
from pipelines.training.crop_source import CropSource
from services.learning_set import to_particles
from services.train_plan import field_of_view
from services.trust.portions import JUDGE, find_portions

#: The class of particles that have no hand.
NO_HAND = "none"
_COLUMNS = [
    "particle_id",
    "mosaic",
    "segmentation",
    "centroid_y_px",
    "centroid_x_px",
    "orientation_rad",
    "major_axis_px",
    "equivalent_diameter_px",
    "contrast",
    "touches_edge",
    "low_contrast",
    "bbox_y0_px",
    "bbox_x0_px",
    "bbox_y1_px",
    "bbox_x1_px",
]


def study_archive(
    archive: Archive,
    *,
    learn: Sequence[str],
    test: Sequence[str],
    control: Sequence[str],
    mirror_pairs: Sequence[tuple[str, str]],
    input_px: int,
) -> StudySet:
    """Gather an archive's particles of known class, with their crops.

    Parameters
    ----------
    archive : Archive
        The archive; its mosaics are segmented and their truth is known.
    learn, test, control : sequence of str
        Mosaics to learn from, to be tested on, and whose particles have no hand.
    mirror_pairs : sequence of (str, str)
        Classes that a mirror exchanges.
    input_px : int
        Edge of the networks' input.

    Raises
    ------
    LabelError
        If there is no particle of known class.
    """
    names = [*learn, *test, *control]
    infos = [open_mosaic(archive.mosaic(name)).info for name in names]
    rows = _known_particles(archive, names)
    groups = np.select(
        [pc.is_in(rows["mosaic"], pa.array(list(part))).to_numpy() for part in (learn, test)],
        [LEARN, TEST],
        CONTROL,
    )
    handed = rows.filter(pa.array(groups != CONTROL))
    classes, mirrored_class = plan_classes(pc.unique(handed["label"]).to_pylist(), mirror_pairs)
    index = {name: number for number, name in enumerate(classes)}
    true = np.array([index.get(label, -1) for label in rows["label"].to_pylist()])
    true[groups == CONTROL] = -1
    augmentation = Augmentation(any_rotation=True)
    field, in_nm = _field(infos, rows)
    view = plan_view(
        field, in_nm=in_nm, input_px=input_px, aligned=False, augmentation=augmentation
    )
    source = view.crops(
        [archive.mosaic(name) for name in names],
        [info.pixel_size_nm for info in infos],
        to_particles(rows, names),
    )
    origin = {
        "archive": archive.root.name,
        "mosaics": {info.name: info.digest for info in infos},
        "segmentations": sorted(set(rows["segmentation"].to_pylist())),
        "view": digest_json([field, in_nm, input_px]),
    }
    return write_study_set(
        archive.scratch / "study" / digest_json([origin, list(learn), list(test), list(control)]),
        _read_all(source),
        particle_ids=rows["particle_id"].to_numpy(),
        true_labels=true,
        groups=groups,
        difficulty=difficulty_of(
            {
                "size": (rows["equivalent_diameter_px"].to_numpy(), -1),
                "contrast": (rows["contrast"].to_numpy(), -1),
            }
        ),
        order=np.arange(rows.num_rows, dtype=np.float64),
        classes=classes,
        mirrored_class=mirrored_class,
        view=view,
        augmentation=augmentation,
        origin=origin,
    )


def _known_particles(archive: Archive, names: Sequence[str]) -> pa.Table:
    """Return the particles whose class is known, in the order of their acquisition.

    Those that judge models are left out: sweeps choose methods, which is learning too.
    """
    particles = read_rows(archive, "particles", columns=_COLUMNS, filters=[("mosaic", "in", names)])
    flagged = pc.or_kleene(particles["touches_edge"], particles["low_contrast"])
    particles = particles.filter(pc.invert(pc.fill_null(flagged, False)))
    particles = particles.filter(pa.array(find_portions(archive, particles) != JUDGE))
    known = known_labels(archive, names)
    # Particles without a hand are never determinable, and are wanted all the same.
    usable = pc.or_(known["determinable"], pc.equal(known["label"], NO_HAND))
    known = known.filter(pc.fill_null(usable, False)).select(["particle_id", "label"])
    rows = particles.join(known, "particle_id", join_type="inner")
    if not rows.num_rows:
        raise LabelError(
            f"archive {archive.root} has no particle of known class: a sweep makes right labels "
            "wrong on purpose, so it needs mosaics with truth that are segmented"
        )
    order = [("mosaic", "ascending"), ("centroid_y_px", "ascending"), ("particle_id", "ascending")]
    return rows.sort_by(order)


def _field(infos: Sequence[MosaicInfo], rows: pa.Table) -> tuple[float, bool]:
    """Return the field of view, in nm where every pixel size is known."""
    in_nm = all(info.pixel_size_nm is not None for info in infos)
    size = {info.name: (info.pixel_size_nm or 1.0) if in_nm else 1.0 for info in infos}
    scale = np.array([size[name] for name in rows["mosaic"].to_pylist()])
    return field_of_view(rows["major_axis_px"].to_numpy() * scale), in_nm


def _read_all(source: CropSource) -> NDArray[np.float16]:
    crops = np.empty((len(source), source.size_px, source.size_px), dtype=np.float16)
    for block in source.blocks(np.arange(len(source))):
        crops[block] = source.read(block)
    return crops
