"""The results of a sweep's trials, as its report asks for them: by method and error rate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import generator
from pipelines.sweeps.flow import read_result
from pipelines.sweeps.intervals import Curve, accuracy_interval
from pipelines.sweeps.plan import SweepPlan
from pipelines.sweeps.study_set import StudySet
from pipelines.sweeps.trial import PREDICTIONS_FILE

Correct = NDArray[np.float64]


class Found:
    """The results of a sweep, by method and error rate."""

    def __init__(
        self,
        plan: SweepPlan,
        study: StudySet,
        rows: Mapping[str, Mapping[str, Any]],
        folder: Path,
    ) -> None:
        self.plan, self.study, self.rows, self.folder = plan, study, rows, folder
        done = {row["method"] for row in rows.values()}
        self.methods = [variant.label for variant in plan.variants if variant.label in done]
        self.rates = sorted(plan.error_rates)
        self.n_test = max(row["n_test"] for row in rows.values())

    def keys(self, method: str, rate: float) -> list[str]:
        """Return the trials of a method at an error rate, by seed."""
        at = [
            (row["seed"], key)
            for key, row in self.rows.items()
            if row["method"] == method and row["error_rate"] == rate
        ]
        return [key for _, key in sorted(at)]

    def correct(self, method: str, rate: float, *, mirrored: bool = False) -> Correct:
        """Return which test particles were right: (n_seeds, n_particles)."""
        parts = []
        for key in self.keys(method, rate):
            with np.load(self.folder / key / PREDICTIONS_FILE) as stored:
                true = stored["true_labels"]
                if mirrored:
                    true = np.asarray(self.study.mirrored_class)[true]
                said = stored["mirrored_probs" if mirrored else "pred_probs"]
                parts.append((said.argmax(axis=1) == true).astype(np.float64))
        return np.stack(parts)

    def histories(self, rate: float) -> dict[str, list[list[dict[str, float]]]]:
        """Return the curves of every method's trials at an error rate."""
        found = {}
        for method in self.methods:
            results = [read_result(self.folder / key) for key in self.keys(method, rate)]
            if histories := [result["history"] for result in results if result]:
                found[method] = histories
        return found

    def clean_accuracy(self, method: str) -> float | None:
        """Return what a method reaches without wrong labels; None where that was not tried."""
        lasts = [self.rows[key]["last"] for key in self.keys(method, 0.0)]
        return float(np.mean(lasts)) if lasts else None

    @property
    def telling_rate(self) -> float:
        """The error rate that shows most: the one nearest to 0.4."""
        return min(self.rates, key=lambda rate: abs(rate - 0.4))

    def curve(self, method: str, value: Any) -> Curve:
        """Make a method's curve of intervals over error rates."""
        rates = [rate for rate in self.rates if self.keys(method, rate)]
        points = [value(method, rate) for rate in rates]
        value_, low, high = np.array(points, dtype=np.float64).T
        return Curve(np.array(rates), value_, low, high)

    def interval(self, method: str, rate: float) -> Any:
        """Return the mean of the last epochs, with the interval of the last model's particles."""
        rng = generator(0, "sweep", method, str(rate))
        with_seeds = len(self.plan.seeds) > 1
        found = accuracy_interval(self.correct(method, rate), with_seeds=with_seeds, rng=rng)
        last = float(np.mean([self.rows[key]["last"] for key in self.keys(method, rate)]))
        return last, last + found.low - found.value, last + found.high - found.value
