"""What candidate and champion say of particles whose class is known and that taught neither."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.classifiers.flow import predict_here
from pipelines.classifiers.model import load_classifier
from pipelines.mosaic.ome_zarr import open_mosaic
from pipelines.segmentation.scoring import known_labels
from pipelines.tables import read_rows
from pipelines.training.splits import TEST, SplitFractions, split_roles
from services.learning_set import to_particles
from services.model_registry import RegisteredModel
from services.nightly.fitting import unfit_mosaics
from services.nightly.gate import NEWEST, TRUSTED, Answers
from services.trust.portions import read_trusted

_GEOMETRY = [
    "particle_id", "mosaic", "centroid_y_px", "centroid_x_px", "orientation_rad",
]  # fmt: skip
_KNOWN = pa.schema([("particle_id", pa.int64()), ("label", pa.string())])


@dataclass(frozen=True)
class Evidence:
    """Answers on every set of particles, and mosaics that a model cannot see."""

    answers: list[Answers]
    unfit: list[str]


def gather_evidence(
    archive: Archive,
    *,
    newest: Sequence[str],
    held_out: Sequence[str],
    test_share: float,
    seed: int,
    candidate: RegisteredModel,
    champion: RegisteredModel | None,
) -> Evidence:
    """Let both models classify particles of known class.

    Parameters
    ----------
    archive : Archive
        The archive.
    newest : sequence of str
        Mosaics that the night brought. Where their truth or trusted labels are known, their
        particles are a set of their own.
    held_out : sequence of str
        Mosaics that no model is trained on.
    test_share, seed
        Of the candidate's training: which other particles it was not trained on.
    candidate : RegisteredModel
        The new model.
    champion : RegisteredModel, optional
        The one in use.
    """
    trusted = read_trusted(archive, "judge").select(_KNOWN.names).cast(_KNOWN)
    # Where a person could not tell, no model can be wrong.
    trusted = trusted.filter(pc.is_valid(trusted["label"]))
    known = _untaught(known_labels(archive, newest), archive, held_out, test_share, seed)
    # What somebody checked counts before what a file says.
    ids = trusted["particle_id"].combine_chunks()
    known = known.filter(pc.invert(pc.is_in(known["particle_id"], value_set=ids)))
    every = pa.concat_tables([trusted, known])
    rows = _locate(archive, every)
    models = [candidate, *([champion] if champion else [])]
    unfit = unfit_mosaics(archive, models, sorted(set(rows["mosaic"].to_pylist())))
    rows = rows.filter(pc.invert(pc.is_in(rows["mosaic"], pa.array(unfit, pa.string()))))
    said = _classify(archive, rows, candidate)
    before = _classify(archive, rows, champion) if champion else None
    is_trusted = np.isin(rows["particle_id"].to_numpy(), ids.to_numpy())
    is_newest = np.isin(rows["mosaic"].to_numpy(zero_copy_only=False), list(newest))
    labels = np.array(rows["label"].to_pylist(), dtype=str)
    answers = [
        Answers(
            name,
            rows["particle_id"].to_numpy()[which],
            labels[which],
            said[which],
            None if before is None else before[which],
        )
        for name, which in ((TRUSTED, is_trusted), (NEWEST, is_newest))
    ]
    return Evidence(answers, unfit)


def _untaught(
    known: pa.Table, archive: Archive, held_out: Sequence[str], test_share: float, seed: int
) -> pa.Table:
    """Return particles of known class that are trained on by no model of this seed."""
    known = known.filter(known["determinable"]).select(_KNOWN.names).cast(_KNOWN)
    ids = known["particle_id"].to_numpy()
    roles = split_roles(ids, fractions=SplitFractions(select=0, test=test_share), seed=seed)
    where = read_rows(
        archive, "particles", columns=["particle_id"], filters=[("mosaic", "in", list(held_out))]
    )
    kept = (roles == TEST) | np.isin(ids, where["particle_id"].to_numpy())
    return known.filter(pa.array(kept))


def _locate(archive: Archive, known: pa.Table) -> pa.Table:
    """Join labels with where their particles are; labels of particles that are gone are lost."""
    rows = read_rows(
        archive,
        "particles",
        columns=_GEOMETRY,
        filters=[("particle_id", "in", known["particle_id"].to_pylist())],
    )
    return rows.join(known, "particle_id", join_type="inner").sort_by("particle_id")


def _classify(archive: Archive, rows: pa.Table, model: RegisteredModel) -> NDArray[np.str_]:
    """Return the class that a model gives to each particle."""
    names = sorted(set(rows["mosaic"].to_pylist()))
    classifier = load_classifier(model.folder)
    classes = np.array(classifier.classes, dtype=str)
    said = np.full(rows.num_rows, "", dtype=classes.dtype)
    if not rows.num_rows:
        return said
    crops = classifier.view.crops(
        [archive.mosaic(name) for name in names],
        [open_mosaic(archive.mosaic(name)).info.pixel_size_nm for name in names],
        to_particles(rows, names),
    )
    for where, probabilities in predict_here(classifier, crops):
        said[where] = classes[probabilities.argmax(axis=1)]
    return said
