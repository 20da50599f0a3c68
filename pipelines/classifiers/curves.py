"""The curves of a training: how selection, test and memorisation go on from epoch to epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pipelines.classifiers.plan import TrainPlan
from pipelines.randomness import generator
from pipelines.training.crop_source import CropSource
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import SELECT, TEST, TRAIN

#: From crops and angles to logits, by whatever predicts at the moment.
Predict = Callable[[NDArray[Any], Sequence[float]], NDArray[np.float64]]

#: Wrongly labelled particles behind each point of a curve, at most: it is watched, not reported.
_WRONG = 512


class Watched:
    """The particles whose predictions are followed from epoch to epoch, with their crops."""

    def __init__(self, plan: TrainPlan, source: CropSource) -> None:
        self._plan = plan
        given, true = plan.given_labels, plan.true_labels
        known = true != UNKNOWN
        labelled = given != UNKNOWN
        wrong = (plan.roles == TRAIN) & labelled & known & (given != true)
        self._parts = {
            "select": np.flatnonzero((plan.roles == SELECT) & labelled),
            "test": self._few(np.flatnonzero((plan.roles == TEST) & known), plan.curve_particles),
            "wrong": self._few(np.flatnonzero(wrong), _WRONG),
        }
        self._rows = np.concatenate(list(self._parts.values()))
        self._crops = source.read(self._rows)

    def _few(self, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        rng = generator(self._plan.seed, "curves")
        return rng.permutation(rows)[:n]

    def measure(self, predict: Predict) -> dict[str, float]:
        """Return this epoch's points of the curves; those without a particle are left out."""
        plan = self._plan
        logits = predict(self._crops, [0.0])
        predicted = logits.argmax(axis=1)
        ends = np.cumsum([len(rows) for rows in self._parts.values()])[:-1]
        said = dict(zip(self._parts, np.split(predicted, ends), strict=True))
        select = self._parts["select"]
        given = plan.given_labels[select]
        scores = torch.from_numpy(logits[: len(select)])
        points: dict[str, Any] = {
            "select_loss": float(F.cross_entropy(scores, torch.from_numpy(given))),
            "select_accuracy": float((said["select"] == given).mean()),
        }
        test, wrong = self._parts["test"], self._parts["wrong"]
        if len(test):
            points["test_accuracy"] = float((said["test"] == plan.true_labels[test]).mean())
        if len(wrong):
            true, memorised = plan.true_labels[wrong], plan.given_labels[wrong]
            points["wrong_labels_seen_through"] = float((said["wrong"] == true).mean())
            points["wrong_labels_memorised"] = float((said["wrong"] == memorised).mean())
        return points
