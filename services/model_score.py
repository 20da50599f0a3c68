"""Test a freshly trained model where the truth is known, and draw how it learnt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.classifiers.flow import predict_here
from pipelines.classifiers.model import load_classifier
from pipelines.classifiers.plan import Particles
from pipelines.evaluation import figures
from pipelines.evaluation.classification import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    mean_interval,
)
from pipelines.randomness import generator
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import TEST
from services.model_strata import worst_strata
from services.tracking import TrackedRun
from services.train_plan import Planned


@dataclass(frozen=True)
class ModelScore:
    """What a model says of particles whose truth is known and that it never saw.

    Attributes
    ----------
    classes : sequence of str
        Names of the classes.
    particle_ids, true_labels : (N,) ndarray of int
        The particles.
    pred_probs : (N, K) ndarray
        Calibrated probabilities.
    is_held_out : (N,) ndarray of bool
        Whether the particle lies in a held-out mosaic.
    seed : int
        For the bootstrap.
    """

    classes: Sequence[str]
    particle_ids: NDArray[np.int64]
    true_labels: NDArray[np.int64]
    pred_probs: NDArray[np.float64]
    is_held_out: NDArray[np.bool_]
    seed: int

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which particles the headline is about: those held out, or all where none are."""
        return self.is_held_out if self.is_held_out.any() else np.ones_like(self.is_held_out)

    def confusion(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count [true, predicted]."""
        predicted = self.pred_probs[which].argmax(axis=1)
        return confusion_matrix(self.true_labels[which], predicted, n_classes=len(self.classes))

    def headline(self) -> dict[str, Any]:
        """Return accuracy and number of particles; nothing where no truth is known."""
        if not len(self.true_labels):
            return {"test_particles": 0}
        confusion = self.confusion(self.counted)
        return {"test_accuracy": accuracy(confusion), "test_particles": int(confusion.sum())}

    def metrics(self) -> dict[str, float]:
        """Return what is logged."""
        if not len(self.true_labels):
            return {"n_test": 0.0}
        counted = self.counted
        confusion = self.confusion(counted)
        probs, true = self.pred_probs[counted], self.true_labels[counted]
        low, high = mean_interval(
            probs.argmax(axis=1) == true,
            self.particle_ids[counted],
            rng=generator(self.seed, "test interval"),
        )
        values = {
            "n_test": float(confusion.sum()),
            "final_test_accuracy": accuracy(confusion),
            "final_test_accuracy_low": low,
            "final_test_accuracy_high": high,
            "final_test_balanced_accuracy": balanced_accuracy(confusion),
            "final_test_calibration_error": expected_calibration_error(probs, true),
        }
        right = probs.argmax(axis=1) == true
        for index, name in enumerate(self.classes):
            if (of_class := true == index).any():
                low, high = mean_interval(
                    right[of_class],
                    self.particle_ids[counted][of_class],
                    rng=generator(self.seed, f"recall interval {name}"),
                )
                key = f"final_test_recall_{name}"
                values |= {
                    key: float(right[of_class].mean()),
                    f"{key}_low": low,
                    f"{key}_high": high,
                }
        within = accuracy(self.confusion(~self.is_held_out))
        if not math.isnan(within):
            values["final_test_accuracy_in_trained_mosaics"] = within
        return values


def score_model(planned: Planned, model: Path) -> ModelScore:
    """Classify every particle that is kept for testing and whose truth is known."""
    plan = planned.plan
    rows = np.flatnonzero((plan.roles == TEST) & (plan.true_labels != UNKNOWN))
    chosen = Particles(*(values[rows] for values in vars(plan.particles).values()))
    classifier = load_classifier(model)
    probs = np.empty((len(rows), len(plan.classes)))
    crops = plan.view.crops(plan.mosaics, plan.pixel_sizes_nm, chosen)
    for batch, values in predict_here(classifier, crops):
        probs[batch] = values
    return ModelScore(
        classes=plan.classes,
        particle_ids=chosen.particle_ids,
        true_labels=plan.true_labels[rows],
        pred_probs=probs,
        is_held_out=planned.data.in_held_out[rows],
        seed=plan.seed,
    )


def known_failures(archive: Archive, planned: Planned, score: ModelScore) -> list[dict[str, Any]]:
    """Return the groups of tested particles where a model is clearly worse, worst first."""
    counted = score.counted
    if not counted.any():
        return []
    return worst_strata(
        archive,
        [info.name for info in planned.data.mosaics],
        score.particle_ids[counted],
        score.pred_probs[counted].argmax(axis=1) == score.true_labels[counted],
        seed=score.seed,
    )


def log_figures(run: TrackedRun, history: Sequence[Mapping[str, float]], score: ModelScore) -> None:
    """Keep the training curves and, where there was a test, confusion and calibration."""
    run.figure("training", figures.training_curves(history))
    if not len(score.true_labels):
        return
    counted = score.counted
    run.figure("confusion", figures.confusion(score.confusion(counted), score.classes))
    reliability = figures.reliability(score.pred_probs[counted], score.true_labels[counted])
    run.figure("reliability", reliability)
