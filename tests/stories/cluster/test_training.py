"""Training and sweeping on nodes that die: the model, and the table, of an undisturbed run."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.archive import Archive
from pipelines.classifiers.flow import predict_here
from pipelines.classifiers.model import load_classifier
from pipelines.tables import read_rows
from pipelines.training.checkpoint import n_epochs_done, read_model
from services.train_plan import plan_training
from services.verbs.train import Settings

pytestmark = pytest.mark.cluster

N_EPOCHS = 8
#: More than a story waits for.
N_MANY = 10**4
#: Two methods at two error rates, of which two run at once, each for a while.
PRESET = """
title = "Drill"
noise = "sym_pair"
error_rates = [0.2, 0.4]
seeds = [0]
n_train = 60
n_select = 15
n_clean = 5
n_test = 0

[data]
kind = "mosaics"
learn = ["synthesis"]
test = ["racemic"]
control = []
mirror_pairs = ["right:left"]
input_px = 32

[loop]
n_epochs = 8
batch_size = 32
learning_rate = 5e-3

[network]
architecture = "polar"
width = "slim"
antisymmetric = true

[[variants]]
method = "ce"

[[variants]]
method = "co-teaching"
"""


@pytest.fixture(scope="module")
def prepared(tessera, tmp_path_factory) -> Path:
    """A folder with a preset, and an archive of particles with labels, nothing learnt yet."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "drill.toml").write_text(PRESET)
    drawn = {"synthesis": (1536, 0.0, 1), "racemic": (1024, 0.5, 2)}
    simulated = [
        ("simulate", folder / name, "--preset", "easy", "--workers", 1, "--size-px", size_px,
         "--left-fraction", left, "--seed", seed)
        for name, (size_px, left, seed) in drawn.items()
    ]  # fmt: skip
    for words in (
        *simulated,
        ("ingest", *(folder / name for name in drawn), "--archive", folder / "a"),
        ("segment", "--archive", folder / "a"),
        ("label", "--archive", folder / "a", "--assume", "right"),
    ):
        done = tessera(*words)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def undisturbed(tessera, prepared) -> Archive:
    """The archive with a model and a sweep that one machine has made."""
    archive = copy(prepared, prepared / "undisturbed")
    trained = tessera(*train(archive))
    swept = tessera(*sweep(prepared), archive.root, "--trials-at-once", 2)

    assert trained.returncode == 0, trained.stderr
    assert swept.returncode == 0, swept.stderr
    assert json.loads(trained.stdout)["epochs_redone"] == 0
    assert "swept trials=4 unchanged=0 epochs_redone=0" in swept.stdout
    return archive


def copy(prepared, folder) -> Archive:
    shutil.copytree(prepared / "a", folder / "a")
    return Archive(folder / "a")


def sweep(prepared):
    return ["sweep", "--preset", prepared / "drill.toml", "--archive"]


def train(archive, n_workers=0):
    # Adam's first steps are the gradients' signs, and blow the rounding of sums up.
    return [
        *("train", "--archive", archive.root, "--epochs", N_EPOCHS, "--train-workers", n_workers),
        *("--optimiser", "sgd", "--learning-rate", 0.01, "--mosaic", "synthesis", "--json"),
    ]


def n_epochs(archive) -> int:
    return max(map(n_epochs_done, archive.scratch.glob("train/*")), default=0)


def model(archive) -> Path:
    (weights,) = archive.root.glob("mlartifacts/**/weights.safetensors")
    return weights.parent


def probabilities(archive):
    """Return what the archive's model says of its particles."""
    settings = Settings(archive=archive.root, mosaic=("synthesis",))
    crops = plan_training(archive, settings).plan.crops()
    said = np.concatenate(
        [
            np.column_stack([rows, probs])
            for rows, probs in predict_here(load_classifier(model(archive)), crops)
        ]
    )
    return said[np.argsort(said[:, 0]), 1:]


def assert_same_model(archive, undisturbed):
    """Sums of several workers are rounded otherwise than one's: nothing else may differ."""
    here, there = (read_model(model(either))[0] for either in (undisturbed, archive))
    for name, values in here.items():
        torch.testing.assert_close(there[name], values, rtol=1e-3, atol=1e-4)
    said, expected = probabilities(archive), probabilities(undisturbed)
    np.testing.assert_allclose(said, expected, atol=1e-3)
    assert (said.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_training_goes_on_without_a_node_that_dies(nodes, begin, prepared, undisturbed, tmp_path):
    archive = copy(prepared, tmp_path)

    training = begin(*train(archive, 2), "--address", nodes.head, **nodes.environment())
    training.wait_until(lambda: n_epochs(archive) >= 2)
    nodes.workers[0].kill()
    n_before = n_epochs(archive)

    assert training.wait() == 0, training.stderr
    told = json.loads(training.stdout)
    assert n_before < N_EPOCHS
    assert told["epochs"] == N_EPOCHS
    # The epoch that was going on, or none if one had just ended.
    assert told["epochs_redone"] <= 1
    assert "workers were lost or came back; 1 of 2 workers go on from" in training.stderr
    assert_same_model(archive, undisturbed)


def test_a_team_that_shrank_grows_again_with_the_cluster(nodes, begin, prepared, tmp_path):
    archive = copy(prepared, tmp_path)
    words = [N_MANY if word == N_EPOCHS else word for word in train(archive, 2)]

    training = begin(*words, "--address", nodes.head, **nodes.environment())
    training.wait_until(lambda: n_epochs(archive) >= 1)
    nodes.workers[0].kill()
    training.wait_until(lambda: "1 of 2 workers go on from" in training.stderr)
    nodes.add_worker()
    training.wait_until(lambda: "2 of 2 workers go on from" in training.stderr)
    n_before = n_epochs(archive)
    training.wait_until(lambda: n_epochs(archive) > n_before)
    training.interrupt()

    assert n_before >= 1
    assert training.wait() == 130, training.stderr


def test_training_whose_driver_dies_goes_on_when_it_is_submitted_again(
    nodes, tessera, begin, submit, prepared, undisturbed, tmp_path
):
    archive = copy(prepared, tmp_path)
    words = ("--follow", "--", *train(archive, 2))

    first = submit(begin, *words)
    first.wait_until(lambda: n_epochs(archive) >= 2)
    (driver,) = nodes.drivers()
    driver.kill()
    ended = first.wait()
    n_before = n_epochs(archive)
    second = submit(tessera, *words)

    assert ended == 1
    assert "was killed by signal 9" in first.stderr.splitlines()[-1]
    assert second.returncode == 0, second.stderr
    told = json.loads(second.stdout.splitlines()[0])
    assert told["epochs"] == N_EPOCHS
    assert told["epochs_redone"] <= 1
    assert f"going on after epoch {n_before}\n" in second.stderr
    assert 2 <= n_before < N_EPOCHS
    assert_same_model(archive, undisturbed)


def test_a_sweep_goes_on_without_a_node_that_dies(nodes, begin, prepared, undisturbed, tmp_path):
    archive = copy(prepared, tmp_path)

    sweeping = begin(*sweep(prepared), archive.root, "--address", nodes.head, **nodes.environment())
    sweeping.wait_until(lambda: results(archive) and min(under_way(archive), default=0) >= 1)
    nodes.workers[0].kill()
    before = results(archive)

    assert sweeping.wait() == 0, sweeping.stderr
    assert "a trial broke off; its checkpoint is kept" in sweeping.stderr
    assert "swept trials=4 unchanged=0" in sweeping.stdout
    # The epoch that was going on, or none if one had just ended.
    assert int(re.search(r"epochs_redone=(\d+)", sweeping.stdout).group(1)) <= 1
    after = results(archive)
    assert 1 <= len(before) < 4
    assert {key: after[key] for key in before} == before
    assert trials(archive) == trials(undisturbed)


def results(archive):
    found = archive.scratch.glob("sweeps/*/result.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def under_way(archive) -> list[int]:
    """Return how many epochs each trial has behind it that has begun and is not done."""
    begun = {path.parent for path in archive.scratch.glob("sweeps/*/epoch-*")}
    return [n_epochs_done(path) for path in begun if not (path / "result.json").exists()]


def trials(archive):
    """Read the table of results, but for when and how fast they came."""
    table = read_rows(archive, "trials")
    kept = [name for name in table.column_names if name not in ("at", "run_id", "seconds")]
    return table.select(kept).sort_by("trial").to_pylist()
