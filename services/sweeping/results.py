"""What a sweep found: the table of trials, a run in MLflow for each, and the numbers on top."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.schemas import TRIALS
from pipelines.sweeps.plan import Trial
from pipelines.sweeps.study_set import StudySet
from pipelines.tables import append_rows, read_rows, to_table
from services import tracking
from services.versions import code_version, library_versions

if TYPE_CHECKING:
    from services.verbs.sweep import Settings


class Recorder:
    """Takes the results of trials as they come, and remembers each once.

    Attributes
    ----------
    name : str
        The sweep's name: what it is made of decides it.
    rows : dict
        Per trial its row of the table.
    """

    def __init__(
        self,
        archive: Archive,
        settings: "Settings",
        study: StudySet,
        trials: Mapping[str, Trial],
    ) -> None:
        self._archive, self._settings, self._study = archive, settings, study
        self._trials = trials
        self.name = digest_json([study.digest, sorted(trials)])[:12]
        self.rows: dict[str, dict[str, Any]] = {}
        # Whichever sweep a trial was first part of: it has one row and one run.
        known = read_rows(archive, "trials", filters=[("trial", "in", list(trials))]).to_pylist()
        self._known = {row["trial"]: row for row in known}

    def take(self, key: str, result: Mapping[str, Any]) -> None:
        """Remember a trial's result, unless it is known from an earlier run."""
        if key in self._known:
            self.rows[key] = self._known[key]
            return
        trial = self._trials[key]
        row = self._row(key, trial, result)
        row["run_id"] = self._track(trial, result, row)
        columns = {name: [row[name]] for name in TRIALS.names}
        append_rows(self._archive, "trials", to_table("trials", columns))
        self.rows[key] = row

    def headline(self) -> dict[str, Any]:
        """Return the best method at the highest error rate below one half, and its accuracy."""
        rates = sorted({row["error_rate"] for row in self.rows.values()})
        below = [rate for rate in rates if rate < 0.5] or rates
        at = [row for row in self.rows.values() if row["error_rate"] == below[-1]]
        means = {
            label: float(np.mean([row["last"] for row in at if row["method"] == label]))
            for label in {row["method"] for row in at}
        }
        best = max(means, key=lambda label: means[label])
        return {"error_rate": below[-1], "best": best, "accuracy": means[best]}

    def _row(self, key: str, trial: Trial, result: Mapping[str, Any]) -> dict[str, Any]:
        recalls = {
            name.removeprefix("recall_"): value
            for name, value in result.items()
            if name.startswith("recall_")
        }
        own = {
            "trial": key,
            "sweep": self.name,
            "preset": self._settings.preset,
            "method_name": trial.variant.method,
            "options": json.dumps(dict(trial.variant.options), sort_keys=True),
            "recalls": json.dumps(recalls),
            "study_digest": self._study.digest,
            "code_version": code_version(),
            "run_id": "",
        }
        return {name: own.get(name, result.get(name)) for name in TRIALS.names}

    def _track(self, trial: Trial, result: Mapping[str, Any], row: Mapping[str, Any]) -> str:
        """Write a trial's run in MLflow, with all that a result must carry."""
        settings = {
            "method": trial.variant.method,
            "label": trial.variant.label,
            "options": dict(trial.variant.options),
            "error_rate": trial.error_rate,
            "noise": trial.noise,
            "seed": trial.seed,
            "n_train": trial.n_train,
            "loop": vars(trial.loop),
            "network": vars(trial.network),
            "augmentation": dict(trial.augmentation),
            "mirrored_share": trial.mirrored_share,
        }
        uri = self._settings.tracking_uri
        with tracking.track_run(self._archive, "trial", settings, tracking_uri=uri) as run:
            origin = self._study.origin
            run.tags(
                {
                    "sweep": self.name,
                    "trial": row["trial"],
                    "seed": trial.seed,
                    "mosaics": origin.get("mosaics", origin),
                    "segmentations": origin.get("segmentations", []),
                    # The labels are the truth of the study set, made wrong by noise and seed.
                    "label_digest": digest_json(
                        [self._study.digest, trial.noise, trial.error_rate, trial.seed]
                    ),
                    "study_digest": self._study.digest,
                    "realised_error_rate": result["realised_error_rate"],
                    "transition_matrix": result["transition_matrix"],
                    "libraries": library_versions(),
                }
            )
            run.history(result["history"])
            values = {
                name: float(value)
                for name, value in row.items()
                if isinstance(value, float) and math.isfinite(value)
            }
            run.metrics(values, step=len(result["history"]))
            return run.run_id
