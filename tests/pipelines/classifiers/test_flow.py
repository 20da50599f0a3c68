import json

import numpy as np
import pytest
import torch

from pipelines.classifiers.fit import HISTORY_FILE
from pipelines.classifiers.flow import ParticleClassifier, predict_here, train_classifier
from pipelines.classifiers.model import load_classifier
from pipelines.training.checkpoint import read_checkpoint, read_model


@pytest.fixture
def model(plan, tmp_path):
    return train_classifier(plan, folder=tmp_path / "run")


def probabilities(model, crops):
    found = np.full((len(crops), 2), np.nan)
    for rows, values in predict_here(load_classifier(model), crops):
        found[rows] = values
    return found


def test_every_particle_is_classified_once(plan, model):
    crops = plan.crops()

    rows = np.concatenate([rows for rows, _ in predict_here(load_classifier(model), crops)])

    assert sorted(rows.tolist()) == list(range(100))


def test_nobody_to_classify_gives_nothing(plan, model, vary):
    particles = type(plan.particles)(*(values[:0] for values in vars(plan.particles).values()))

    crops = vary(plan, particles=particles).crops()

    assert list(predict_here(load_classifier(model), crops)) == []


def test_an_actor_says_what_this_process_says(plan, model):
    crops = plan.crops()
    actor = ParticleClassifier(str(model), [str(p) for p in crops.paths], list(crops.fields_px))
    rows = np.array([7, 3])

    said = actor(
        {
            "row": rows,
            "mosaic_index": crops.mosaic_index[rows],
            "y": crops.centres_yx[rows, 0],
            "x": crops.centres_yx[rows, 1],
            "orientation": crops.orientations_rad[rows],
        }
    )

    assert said["row"].tolist() == [7, 3]
    np.testing.assert_allclose(said["probabilities"], probabilities(model, crops)[rows], atol=1e-6)


def test_an_actor_takes_an_empty_block_without_columns(plan, model):
    assert ParticleClassifier(str(model), [], [])({}) == {}


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning")
@pytest.mark.parametrize(
    ("name", "options", "n_networks"),
    [("co-teaching", {"error_rate": 0.3, "rising_epochs": 2}, 2), ("elr", {}, 1)],
)
def test_two_workers_go_the_same_way_as_one(
    plan, vary, tmp_path, embedded_ray, name, options, n_networks
):
    plan = vary(
        plan,
        method=name,
        method_options=options,
        network_n_networks=n_networks,
        loop_n_epochs=3,
        loop_learning_rate=0.05,
        # Adam's first steps are the gradients' signs, and blow rounding up.
        loop_optimiser="sgd",
    )

    alone, shared = (train_classifier(plan, folder=tmp_path / str(n), n_workers=n) for n in (0, 2))

    weights = [read_model(folder)[0] for folder in (alone, shared)]
    for weight, values in weights[0].items():
        torch.testing.assert_close(weights[1][weight], values, rtol=1e-3, atol=1e-4)
    histories = [json.loads((tmp_path / str(n) / HISTORY_FILE).read_text()) for n in (0, 2)]
    for one, two in zip(*histories, strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-3)
    states = [read_checkpoint(tmp_path / str(n)).sample_state for n in (0, 2)]
    for kept, values in states[0].items():
        torch.testing.assert_close(states[1][kept], values, rtol=1e-3, atol=1e-3)
