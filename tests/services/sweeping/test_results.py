"""What is remembered of a trial: once, with all that a result must carry."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.classifiers.plan import View
from pipelines.schemas import TRIALS
from pipelines.sweeps.plan import plan_trials
from pipelines.sweeps.study_set import LEARN, TEST, write_study_set
from pipelines.tables import read_rows
from pipelines.training.augmentation import Augmentation
from services.sweeping.preset import read_preset
from services.sweeping.results import Recorder
from services.tracking import open_client

#: Of a trial's run in MLflow: what it was set to, and where it comes from.
PARAMETERS = {
    "method", "label", "options", "error_rate", "noise", "seed", "n_train", "loop", "network",
    "augmentation", "mirrored_share",
}  # fmt: skip
TAGS = {
    "sweep", "trial", "seed", "mosaics", "segmentations", "label_digest", "study_digest",
    "realised_error_rate", "transition_matrix", "libraries", "code_version",
}  # fmt: skip


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "archive")


@pytest.fixture
def study(tmp_path):
    n = 4
    return write_study_set(
        tmp_path / "study",
        np.zeros((n, 8, 8), np.float16),
        particle_ids=np.arange(n),
        true_labels=np.arange(n) % 2,
        groups=np.array([LEARN, LEARN, TEST, TEST]),
        difficulty=np.zeros(n),
        order=np.zeros(n),
        classes=["left", "right"],
        mirrored_class=[1, 0],
        view=View(field=100.0, in_nm=True, input_px=8, read_px=8, aligned=True),
        augmentation=Augmentation(),
        origin={"mosaics": ["m1"], "segmentations": ["s1"]},
    )


@pytest.fixture
def trial():
    return plan_trials(read_preset("handedness-hard-mirror").plan())[0]


@pytest.fixture
def result(trial):
    text = {name for name in TRIALS.names if TRIALS.field(name).type == "string"}
    found = {name: None if name in text else 1 for name in TRIALS.names}
    return found | {
        "method": trial.variant.label,
        "error_rate": trial.error_rate,
        "last": 0.9,
        "recall_left": 0.8,
        "recall_right": 1.0,
        "transition_matrix": [[1.0, 0.0], [0.0, 1.0]],
        "history": [{"epoch": 0, "test_accuracy": 0.9}],
    }


def test_a_trial_has_one_row_and_one_run_with_all_that_a_result_must_carry(
    archive, study, trial, result
):
    key = trial.key(study.digest)
    settings = SimpleNamespace(preset="handedness-hard-mirror", tracking_uri=None)

    first = Recorder(archive, settings, study, {key: trial})
    first.take(key, result)
    again = Recorder(archive, settings, study, {key: trial})
    again.take(key, result)

    (row,) = read_rows(archive, "trials").to_pylist()
    assert again.rows == {key: row}
    assert json.loads(row["recalls"]) == {"left": 0.8, "right": 1.0}
    client = open_client(archive)
    (experiment,) = [e for e in client.search_experiments() if e.name == "tessera"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == row["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params.keys() >= PARAMETERS
    assert run.data.params["mirrored_share"] == "0.5"
    assert run.data.tags.keys() >= TAGS
    assert all(run.data.tags[name] not in ("", "null") for name in TAGS)
    assert run.data.metrics["last"] == 0.9


def test_the_headline_is_the_best_at_the_highest_error_rate_below_one_half(
    archive, study, trial, result
):
    recorder = Recorder(archive, SimpleNamespace(preset="p", tracking_uri=None), study, {})
    recorder.rows = {
        f"{method} {rate} {seed}": {"method": method, "error_rate": rate, "last": last}
        for method, rate, seed, last in [
            ("ce", 0.2, 0, 0.99), ("ce", 0.4, 0, 0.9), ("ce", 0.4, 1, 0.6), ("ce", 0.5, 0, 0.5),
            ("elr", 0.2, 0, 0.9), ("elr", 0.4, 0, 0.8), ("elr", 0.4, 1, 0.8), ("elr", 0.5, 0, 1.0),
        ]
    }  # fmt: skip

    found = recorder.headline()

    assert found == {"error_rate": 0.4, "best": "elr", "accuracy": pytest.approx(0.8)}
