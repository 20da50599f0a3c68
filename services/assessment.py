"""How good a job's results are, wherever the archive knows the truth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.evaluation.classification import accuracy, confusion_matrix, mean_interval
from pipelines.evaluation.population import ClassRatio, class_ratio
from pipelines.randomness import generator
from pipelines.segmentation.scoring import MosaicScore, has_truth, score_mosaic, true_labels
from pipelines.tables import read_rows

#: Truth of particles that have no hand: they are a control, not a class.
ACHIRAL = "none"


@dataclass(frozen=True)
class ClassScore:
    """How predictions agree with the truth of particles that were never trained on.

    Attributes
    ----------
    classes : list of str
        The model's classes.
    true_labels : (N,) ndarray of int
        Indices into ``classes``.
    pred_probs : (N, K) ndarray
        Calibrated probabilities.
    particle_ids : (N,) ndarray of int
    """

    classes: list[str]
    true_labels: NDArray[np.int64]
    pred_probs: NDArray[np.float64]
    particle_ids: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.true_labels)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [true, predicted]."""
        predicted = self.pred_probs.argmax(axis=1)
        return confusion_matrix(self.true_labels, predicted, n_classes=len(self.classes))

    @property
    def accuracy(self) -> float:
        """Share of particles that are predicted right."""
        return accuracy(self.confusion)

    def interval(self, seed: int) -> tuple[float, float]:
        """Return the 95 % interval of the accuracy, by a bootstrap over particles."""
        right = self.pred_probs.argmax(axis=1) == self.true_labels
        return mean_interval(right, self.particle_ids, rng=generator(seed, "accuracy"))


@dataclass(frozen=True)
class Assessment:
    """Scores of a whole archive.

    Attributes
    ----------
    mosaics : dict of str to MosaicScore
        Segmentation against truth, for mosaics that have it.
    classes : ClassScore or None
        Predictions against the truth of held-out mosaics; determinable particles alone.
    achiral : ClassRatio or None
        Share of the first class among held-out particles that have no hand: a half, if the
        model sees nothing but the hand.
    """

    mosaics: dict[str, MosaicScore]
    classes: ClassScore | None
    achiral: ClassRatio | None

    @property
    def instance_f1(self) -> float:
        """F1 at IoU 0.5, of all instances of all mosaics together."""
        n_matched = sum(score.at_50.n_matched for score in self.mosaics.values())
        n_both = sum(s.at_50.n_truth + s.at_50.n_found for s in self.mosaics.values())
        return 2 * n_matched / n_both if n_both else math.nan

    @property
    def achiral_two_sd(self) -> float:
        """Two standard deviations of a fair coin thrown once per particle without a hand."""
        return 1 / math.sqrt(self.achiral.n_total) if self.achiral else math.nan


def assess(archive: Archive, *, held_out: Sequence[str], model_uri: str) -> Assessment:
    """Compare an archive's instances and predictions with the truth it knows.

    Parameters
    ----------
    archive : Archive
        The archive.
    held_out : sequence of str
        Mosaics that the model was not trained on.
    model_uri : str
        The model whose predictions count.
    """
    scores = {
        name: score_mosaic(archive.mosaic(name))
        for name in archive.mosaic_names()
        if has_truth(archive.mosaic(name))
    }
    known = [
        true_labels(archive, name, scores[name].matches) for name in held_out if name in scores
    ]
    if not known:
        return Assessment(scores, None, None)
    predictions = read_rows(
        archive,
        "predictions",
        columns=["particle_id", "classes", "probabilities"],
        filters=[("model_uri", "=", model_uri), ("mosaic", "in", list(held_out))],
    )
    return Assessment(scores, *_compare(pa.concat_tables(known), predictions))


def _compare(known: pa.Table, predictions: pa.Table) -> tuple[ClassScore | None, ClassRatio | None]:
    """Join truth and predictions by particle."""
    if not predictions.num_rows or not known.num_rows:
        return None, None
    classes: list[str] = predictions["classes"][0].as_py()
    probabilities = dict(
        zip(
            predictions["particle_id"].to_pylist(),
            predictions["probabilities"].to_pylist(),
            strict=True,
        )
    )
    rows = [row for row in known.to_pylist() if row["particle_id"] in probabilities]
    index = {name: number for number, name in enumerate(classes)}
    judged = [row for row in rows if row["determinable"] and row["label"] in index]
    score = ClassScore(
        classes,
        np.array([index[row["label"]] for row in judged], dtype=np.int64),
        np.array([probabilities[row["particle_id"]] for row in judged]).reshape(-1, len(classes)),
        np.array([row["particle_id"] for row in judged], dtype=np.int64),
    )
    handless = [probabilities[row["particle_id"]] for row in rows if row["label"] == ACHIRAL]
    n_first = sum(int(np.argmax(row)) == 0 for row in handless)
    chirality_known = ACHIRAL not in index and handless
    ratio = class_ratio(n_first, len(handless)) if chirality_known else None
    return (score if score.n else None), ratio
