"""All particles of an archive with what is known of each, as columns of equal length."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.segmentation.scoring import true_labels
from pipelines.tables import read_rows
from services.label_store import read_labels
from services.report.inputs import ReportInputs

Strings = NDArray[np.object_]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_COLUMNS = [
    "particle_id",
    "mosaic",
    "instance",
    "segmentation",
    "centroid_y_px",
    "centroid_x_px",
    "orientation_rad",
    "major_axis_px",
    "equivalent_diameter_px",
    "equivalent_diameter_nm",
    "touches_edge",
    "crosses_seam",
    "low_contrast",
]


@dataclass(frozen=True)
class Particles:
    """Particles sorted by id; every array has an entry for each.

    Attributes
    ----------
    given, predicted, true : (N,) arrays of str
        Labels; None where there is none, or it is not known.
    classes : tuple of str
        Classes of the model, in the order of ``probabilities``; empty without predictions.
    probabilities : (N, K) array
        Nan where there is no prediction.
    is_held_out : (N,) bool array
        Particles that the model was not trained on, as far as that is known.
    is_test : (N,) bool array
        Those of them that score the model: their class is known, and the image shows it.
    """

    ids: NDArray[np.int64]
    mosaic: Strings
    instance: NDArray[np.int64]
    centroid_yx: Floats
    orientation_rad: Floats
    major_axis_px: Floats
    diameter_px: Floats
    diameter_nm: Floats
    touches_edge: Bools
    crosses_seam: Bools
    low_contrast: Bools
    given: Strings
    predicted: Strings
    true: Strings
    classes: tuple[str, ...]
    probabilities: Floats
    is_held_out: Bools
    is_test: Bools
    model_uri: str | None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def confidence(self) -> Floats:
        """Probability of the predicted class; nan without a prediction."""
        if not self.classes:
            return np.full(len(self), np.nan)
        highest: Floats = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def rows_by_mosaic(self) -> Mapping[str, NDArray[np.int64]]:
        """The rows of every mosaic that has particles."""
        names, inverse = np.unique(self.mosaic.astype(str), return_inverse=True)
        if not len(names):
            return {}
        order = np.argsort(inverse, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
        return dict(zip(names.tolist(), parts, strict=True))

    def rows_of(self, mosaic: str) -> NDArray[np.int64]:
        """Return the rows of a mosaic's particles."""
        return self.rows_by_mosaic.get(mosaic, np.empty(0, np.int64))

    @property
    def best_label(self) -> Strings:
        """The predicted label, or the given one where nothing was predicted."""
        return np.where(is_known(self.predicted), self.predicted, self.given)

    def names(self, column: Strings) -> list[str]:
        """Return the labels that occur in a column, in the order of `order`."""
        return self.order({name for name in column if name is not None})

    def order(self, names: Collection[str]) -> list[str]:
        """Order labels: the hands, then the model's other classes, then the rest by name."""
        known = [name for name in ("right", "left", *self.classes) if name in names]
        return list(dict.fromkeys([*known, *sorted(names)]))


def read_particles(archive: Archive, inputs: ReportInputs) -> Particles:
    """Join the tables of particles, labels, predictions and truth."""
    table = read_rows(archive, "particles", columns=_COLUMNS).sort_by("particle_id")
    columns = {name: table[name].to_numpy() for name in _COLUMNS}
    ids = columns["particle_id"]
    labels = read_labels(archive, inputs.label_version)
    given, labelled_segmentation = (_align(ids, labels, name) for name in ("label", "segmentation"))
    # A label that was given to an earlier segmentation belongs to another particle.
    other = labelled_segmentation != columns["segmentation"]
    given[is_known(labelled_segmentation) & other] = None
    model_uri, predictions = _predictions(archive, inputs.model_uri)
    classes, probabilities = _probabilities(ids, predictions)
    true = np.full(len(ids), None, dtype=object)
    is_shown = np.zeros(len(ids), dtype=bool)
    for mosaic, score in inputs.scores.items():
        known = true_labels(archive, mosaic, score.matches)
        found = _align(ids, known, "label")
        true = np.where(is_known(found), found, true)
        is_shown |= _align(ids, known, "determinable") == True  # noqa: E712
    is_held_out = np.ones(len(ids), dtype=bool)
    if inputs.test_particles is not None:
        is_held_out = np.isin(ids, np.fromiter(inputs.test_particles, np.int64))
    elif inputs.held_out:
        is_held_out = np.isin(columns["mosaic"].astype(str), list(inputs.held_out))
    return Particles(
        ids=ids,
        mosaic=columns["mosaic"],
        instance=columns["instance"],
        centroid_yx=np.stack([columns["centroid_y_px"], columns["centroid_x_px"]], axis=1),
        orientation_rad=columns["orientation_rad"],
        major_axis_px=columns["major_axis_px"],
        diameter_px=columns["equivalent_diameter_px"],
        diameter_nm=columns["equivalent_diameter_nm"],
        touches_edge=columns["touches_edge"].astype(bool),
        crosses_seam=columns["crosses_seam"].astype(bool),
        low_contrast=columns["low_contrast"].astype(bool),
        given=given,
        predicted=_align(ids, predictions, "label"),
        true=true,
        classes=classes,
        probabilities=probabilities,
        is_held_out=is_held_out,
        is_test=is_held_out & is_shown,
        model_uri=model_uri,
    )


def is_known(labels: Strings) -> Bools:
    """Tell which labels are there."""
    return np.fromiter((label is not None for label in labels), bool, len(labels))


def _predictions(archive: Archive, model_uri: str | None) -> tuple[str | None, pa.Table]:
    """Read the predictions of one model: the one that is named, or the last one."""
    columns = ["particle_id", "label", "classes", "probabilities", "model_uri"]
    if model_uri is None:
        uris = read_rows(archive, "predictions", columns=["model_uri"])["model_uri"]
        if len(uris) == 0:
            return None, read_rows(archive, "predictions", columns=columns)
        model_uri = uris[-1].as_py()
    chosen = [("model_uri", "=", model_uri)]
    return model_uri, read_rows(archive, "predictions", columns=columns, filters=chosen)


def _probabilities(ids: NDArray[np.int64], rows: pa.Table) -> tuple[tuple[str, ...], Floats]:
    if rows.num_rows == 0:
        return (), np.empty((len(ids), 0))
    classes = tuple(rows["classes"][0].as_py())
    flat = rows["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    place, found = _places(ids, rows)
    probabilities = np.full((len(ids), len(classes)), np.nan)
    probabilities[found] = flat.reshape(-1, len(classes))[place[found]]
    return classes, probabilities


def _align(ids: NDArray[np.int64], rows: pa.Table, column: str) -> NDArray[Any]:
    """Return a column of ``rows`` in the order of ``ids``; None where there is no row."""
    values = np.full(len(ids), None, dtype=object)
    place, found = _places(ids, rows)
    values[found] = rows[column].to_numpy()[place[found]]
    return values


def _places(ids: NDArray[np.int64], rows: pa.Table) -> tuple[NDArray[np.int64], Bools]:
    """Find the row of each id, and whether there is one."""
    keys = rows["particle_id"].to_numpy()
    if len(keys) == 0:
        return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    order = np.argsort(keys, kind="stable")
    place = order[np.minimum(np.searchsorted(keys[order], ids), len(keys) - 1)]
    return place, keys[place] == ids
