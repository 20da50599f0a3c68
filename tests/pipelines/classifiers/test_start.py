"""Training that begins from the weights of a model."""

import json
from dataclasses import replace

import pytest
import torch

from pipelines.classifiers.fit import HISTORY_FILE, MODEL_FOLDER, fit_classifier
from pipelines.classifiers.start import check_start
from pipelines.errors import ModelError, UnfitStartError
from pipelines.training.checkpoint import WEIGHTS_FILE, read_model
from pipelines.training.team import Team


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Fit a plan in a folder of its own; return the model's folder."""

    def fit(plan):
        folder = tmp_path_factory.mktemp("fitted")
        fit_classifier(plan, folder, Team())
        return folder / MODEL_FOLDER

    return fit


def losses(model):
    history = json.loads((model.parent / HISTORY_FILE).read_text())
    return [entry["train_loss"] for entry in history]


def test_a_training_that_begins_from_a_model_is_where_that_model_ended(plan, vary, fitted):
    first = fitted(vary(plan, loop_n_epochs=8))
    from_nothing = fitted(vary(plan, loop_n_epochs=1))
    warm = fitted(vary(plan, loop_n_epochs=1, start=first))

    assert losses(warm)[0] < losses(from_nothing)[0] - 0.05
    assert losses(warm)[0] == pytest.approx(losses(first)[-1], abs=0.2)


def test_without_an_epoch_of_change_the_weights_are_the_models_own(plan, vary, fitted):
    first = fitted(vary(plan, loop_n_epochs=1))
    same = fitted(vary(plan, loop_n_epochs=1, loop_learning_rate=1e-12, start=first))

    weights, again = read_model(first)[0], read_model(same)[0]
    assert weights.keys() == again.keys()
    for name, values in weights.items():
        assert torch.allclose(values, again[name], atol=1e-5), name


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"classes": ["a", "b"]}, "classes"), ({"network_widths": [8, 32]}, "network")],
)
def test_weights_of_another_network_or_other_classes_are_refused(plan, vary, fitted, changes, word):
    first = fitted(vary(plan, loop_n_epochs=1))
    _, config = read_model(first)

    with pytest.raises(UnfitStartError, match=word):
        check_start(config, vary(plan, **changes))


def test_damaged_weights_are_refused(plan, vary, fitted):
    first = fitted(vary(plan, loop_n_epochs=1))
    (first / WEIGHTS_FILE).write_bytes(b"nonsense")

    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        fitted(replace(plan, start=first))
