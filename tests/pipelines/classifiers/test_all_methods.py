"""Every method on the same small set of glyphs, a fifth of whose left-handed are called right."""

import json

import numpy as np
import pytest
import torch

from pipelines.classifiers import fit
from pipelines.classifiers.fit import HISTORY_FILE, MODEL_FOLDER, fit_classifier
from pipelines.classifiers.flow import predict_here
from pipelines.classifiers.methods import method_names, method_type
from pipelines.classifiers.model import load_classifier
from pipelines.errors import SettingsError
from pipelines.training.checkpoint import read_model
from pipelines.training.splits import CLEAN_SMALL, TEST, TRAIN
from pipelines.training.team import Team


@pytest.fixture
def plan_of(plan, vary):
    """A plan of 14 passes for a method, with as many networks as it asks for."""

    def planned(name, **changes):
        kind = method_type(name)
        roles = plan.roles.copy()
        roles[np.flatnonzero(roles == TRAIN)[::5]] = CLEAN_SMALL
        return vary(
            plan,
            method=name,
            roles=roles,
            network_n_networks=kind.n_networks,
            network_n_extra_outputs=kind.n_extra_outputs,
            **{"loop_n_epochs": 14, **changes},
        )

    return planned


def train(plan, folder):
    folder.mkdir(exist_ok=True)
    fit_classifier(plan, folder, Team())
    return read_model(folder / MODEL_FOLDER)[0]


def accuracy(plan, folder):
    found = np.zeros((len(plan.particles), 2))
    for rows, probabilities in predict_here(load_classifier(folder / MODEL_FOLDER), plan.crops()):
        found[rows] = probabilities
    tested = plan.roles == TEST
    return (found.argmax(axis=1)[tested] == plan.true_labels[tested]).mean()


@pytest.mark.parametrize("name", method_names())
def test_defaults_keep_the_rules_of_their_options(name):
    for option_name, option in method_type(name).known_options().items():
        option.check(option_name, option.default)


@pytest.mark.parametrize("name", method_names())
def test_hands_are_learnt_by_every_method(plan_of, tmp_path, name):
    plan = plan_of(name)

    train(plan, tmp_path)

    assert accuracy(plan, tmp_path) >= 0.9


@pytest.mark.parametrize("name", method_names())
def test_every_method_goes_on_after_an_interruption_as_if_there_was_none(
    plan_of, tmp_path, monkeypatch, name
):
    plan = plan_of(name, loop_n_epochs=5, network_dropout=0.2)
    if name == "two-step":
        plan = plan_of(name, loop_n_epochs=3, method_options={"pretrain_epochs": 2})
    whole = train(plan, tmp_path / "whole")

    def write_and_die(folder, checkpoint):
        write(folder, checkpoint)
        if checkpoint.n_epochs_done == 3:
            raise KeyboardInterrupt

    write = fit.write_checkpoint
    monkeypatch.setattr(fit, "write_checkpoint", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "cut")
    monkeypatch.undo()
    resumed = train(plan, tmp_path / "cut")

    for weight, values in whole.items():
        torch.testing.assert_close(resumed[weight], values, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["glc", "two-step"])
def test_a_method_that_needs_trusted_labels_says_so(plan, vary, tmp_path, name):
    with pytest.raises(SettingsError, match=f"method {name} learns from trusted labels too"):
        fit_classifier(vary(plan, method=name), tmp_path, Team())


def test_without_its_first_step_two_step_is_plain_cross_entropy(plan_of, tmp_path):
    plain = train(plan_of("ce", loop_n_epochs=2), tmp_path / "ce")
    second = plan_of("two-step", loop_n_epochs=2, method_options={"pretrain_epochs": 0})

    found = train(second, tmp_path / "two")

    for weight, values in plain.items():
        torch.testing.assert_close(found[weight], values, rtol=0, atol=0)


def test_trusted_samples_are_learnt_from_in_the_first_step_alone(plan_of, tmp_path, monkeypatch):
    seen = []

    class Watching(method_type("two-step")):
        def loss(self, batch):
            seen.append((set(batch.samples.tolist()), self.training_set))
            return super().loss(batch)

    monkeypatch.setattr(fit, "method_type", lambda name: Watching)
    plan = plan_of("two-step", loop_n_epochs=2, method_options={"pretrain_epochs": 2})
    train(plan, tmp_path)

    trusted = set(np.flatnonzero(seen[0][1].trusted).tolist())
    n_trusted = int((plan.roles == CLEAN_SMALL).sum())
    assert len(trusted) == n_trusted > 0
    steps = [samples for samples, _ in seen]
    first = [samples for samples in steps if samples <= trusted]
    assert set().union(*first) == trusted
    assert all(not samples & trusted for samples in steps[len(first) :])


def test_what_is_kept_is_told_with_how_much_of_it_is_right(plan_of, tmp_path):
    plan = plan_of("co-teaching", method_options={"error_rate": 0.2, "rising_epochs": 4})

    train(plan, tmp_path)

    rows = json.loads((tmp_path / HISTORY_FILE).read_text())
    assert rows[0]["kept_share"] == 1
    # Three steps of 16, of which the 12 easiest are kept.
    assert rows[-1]["kept_share"] == 36 / 48
    assert rows[-1]["kept_precision"] >= rows[0]["kept_precision"]
