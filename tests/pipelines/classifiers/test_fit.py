import json

import numpy as np
import pytest
import torch

from pipelines.classifiers import fit
from pipelines.classifiers.curves import Watched
from pipelines.classifiers.fit import HISTORY_FILE, MODEL_FOLDER, fit_classifier
from pipelines.classifiers.flow import predict_here
from pipelines.classifiers.methods import ce
from pipelines.classifiers.model import load_classifier
from pipelines.errors import SettingsError
from pipelines.training.attempts import n_redone
from pipelines.training.checkpoint import read_checkpoint, read_model
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import SELECT, TEST, TRAIN
from pipelines.training.team import Team


def train(plan, folder):
    folder.mkdir(exist_ok=True)
    fit_classifier(plan, folder, Team())
    return folder / MODEL_FOLDER


def history(folder):
    return json.loads((folder / HISTORY_FILE).read_text())


def predictions(plan, model):
    found = np.zeros((len(plan.particles), len(plan.classes)))
    for rows, probabilities in predict_here(load_classifier(model), plan.crops()):
        found[rows] = probabilities
    return found


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"use_mirror_images": True, "network_antisymmetric": False},
        {"cache_bytes": 40_000},
    ],
    ids=["antisymmetric", "mirror images", "not all in memory"],
)
def test_hands_are_learnt_from_labels_that_are_partly_wrong(plan, vary, tmp_path, how):
    plan = vary(plan, loop_n_epochs=14, **how)

    said = predictions(plan, train(plan, tmp_path)).argmax(axis=1)

    tested = plan.roles == TEST
    assert (said[tested] == plan.true_labels[tested]).mean() >= 0.9


def test_one_hand_and_the_mirror_are_enough_to_tell_both(plan, vary, tmp_path):
    plan = vary(plan, loop_n_epochs=14, given_labels=np.ones(100, int))

    said = predictions(plan, train(plan, tmp_path)).argmax(axis=1)

    assert (said == plan.true_labels).mean() >= 0.9


def test_the_same_plan_gives_the_same_weights_and_another_seed_others(plan, vary, tmp_path):
    weights = [
        read_model(train(p, tmp_path / name))[0]
        for name, p in [("a", plan), ("b", plan), ("c", vary(plan, seed=4))]
    ]

    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, rtol=0, atol=0)
    assert any(not torch.equal(weights[2][name], weights[0][name]) for name in weights[0])


def test_truth_is_never_learnt_from(plan, vary, tmp_path):
    blind = vary(plan, true_labels=np.full(100, UNKNOWN))

    with_truth, _ = read_model(train(plan, tmp_path / "a"))
    without, _ = read_model(train(blind, tmp_path / "b"))

    for name, values in with_truth.items():
        torch.testing.assert_close(without[name], values, rtol=0, atol=0)


def test_labels_outside_the_training_part_are_never_learnt_from(plan, vary, tmp_path):
    hidden = np.where(plan.roles == TEST, 1 - plan.given_labels, plan.given_labels)

    one, _ = read_model(train(plan, tmp_path / "a"))
    other, _ = read_model(train(vary(plan, given_labels=hidden), tmp_path / "b"))

    for name, values in one.items():
        torch.testing.assert_close(other[name], values, rtol=0, atol=0)


@pytest.mark.parametrize("cache_bytes", [2**24, 40_000])
def test_an_interrupted_training_ends_as_an_undisturbed_one(
    plan, vary, tmp_path, monkeypatch, cache_bytes
):
    plan = vary(plan, cache_bytes=cache_bytes, network_dropout=0.3)
    whole, _ = read_model(train(plan, tmp_path / "whole"))

    def write_and_die(folder, checkpoint):
        write(folder, checkpoint)
        if checkpoint.n_epochs_done == 2:
            raise KeyboardInterrupt

    write = fit.write_checkpoint
    monkeypatch.setattr(fit, "write_checkpoint", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "cut")
    monkeypatch.undo()
    resumed, _ = read_model(train(plan, tmp_path / "cut"))

    for name, values in whole.items():
        torch.testing.assert_close(resumed[name], values, rtol=0, atol=0)
    assert history(tmp_path / "cut") == history(tmp_path / "whole")


def test_an_epoch_that_was_cut_off_counts_as_done_again(plan, tmp_path, monkeypatch):
    def die(folder, checkpoint):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "write_checkpoint", die)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path)
    monkeypatch.undo()

    before = n_redone(tmp_path)
    train(plan, tmp_path)

    assert (before, n_redone(tmp_path)) == (0, 1)


def test_a_finished_training_is_only_finished_again(plan, tmp_path, monkeypatch):
    first, _ = read_model(train(plan, tmp_path))
    monkeypatch.setattr(fit, "train_epoch", None)

    again, _ = read_model(train(plan, tmp_path))

    assert all(torch.equal(first[name], again[name]) for name in first)


def test_curves_follow_selection_test_and_memorisation(plan, tmp_path):
    train(plan, tmp_path)

    rows = history(tmp_path)

    assert len(rows) == 3
    for row in rows:
        assert set(row) == {
            "train_loss",
            "select_loss",
            "select_accuracy",
            "test_accuracy",
            "wrong_labels_seen_through",
            "wrong_labels_memorised",
        }
        assert row["wrong_labels_seen_through"] + row["wrong_labels_memorised"] == 1


def test_without_truth_there_are_no_curves_of_it(plan, vary, tmp_path):
    train(vary(plan, true_labels=np.full(100, UNKNOWN)), tmp_path)

    assert set(history(tmp_path)[0]) == {"train_loss", "select_loss", "select_accuracy"}


def test_patience_ends_training_early_and_keeps_the_best_weights(plan, vary, tmp_path, monkeypatch):
    plan = vary(plan, loop_n_epochs=9, loop_patience_epochs=2)
    losses = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    kept = {}
    real = Watched.measure

    def scripted(watched, predict):
        together = predict.args[0]
        kept[len(kept)] = {name: w.clone() for name, w in together.state_dict().items()}
        return {**real(watched, predict), "select_loss": next(losses)}

    monkeypatch.setattr(Watched, "measure", scripted)
    weights, _ = read_model(train(plan, tmp_path))

    assert len(history(tmp_path)) == 4
    assert all(torch.equal(weights[name], kept[1][name]) for name in weights)


def test_probabilities_are_calibrated_on_the_select_part(plan, tmp_path):
    _, config = read_model(train(plan, tmp_path))

    assert 0.05 <= config["temperature"] <= 20
    assert config["temperature"] != 1


def test_the_model_describes_itself(plan, tmp_path):
    _, config = read_model(train(plan, tmp_path))

    assert config["classes"] == ["left", "right"]
    assert config["mirror"] == {"left": "right", "right": "left"}
    assert config["pixel_size_nm"] == [2.0, 2.0]
    assert config["view"]["field"] == 72.0
    assert config["signature"]["inputs"][0]["shape"] == [-1, 1, 24, 24]
    assert config["network"] == plan.network


def test_a_method_sees_the_undisturbed_predictions_of_every_sample(
    plan, vary, tmp_path, monkeypatch
):
    seen = []

    class Asking(ce.Method):
        def start_epoch(self, epoch, n_epochs, predict_all):
            seen.append(predict_all())

    monkeypatch.setattr(fit, "method_type", lambda name: Asking)
    plan = vary(plan, use_mirror_images=True)
    train(plan, tmp_path)

    n = int((plan.roles == TRAIN).sum())
    assert [logits.shape for logits in seen] == [(1, 2 * n, 2)] * 3
    # The mirror is built in: what holds of the mirror image is the opposite.
    torch.testing.assert_close(seen[2][0, :n], seen[2][0, n:].flip(1), atol=1e-4, rtol=0)


def test_what_a_method_keeps_per_sample_survives_an_interruption(plan, vary, tmp_path, monkeypatch):
    class Counting(ce.Method):
        def __init__(self, networks, training_set, **settings):
            super().__init__(networks, training_set, **settings)
            self.seen = torch.zeros(len(training_set))

        def loss(self, batch):
            self.seen[batch.samples] += 1
            return super().loss(batch)

        def sample_state(self):
            return {"seen": self.seen}

        def load_sample_state(self, state):
            self.seen = state["seen"].clone()

    monkeypatch.setattr(fit, "method_type", lambda name: Counting)
    for n_epochs in (1, 3):
        train(vary(plan, loop_n_epochs=n_epochs), tmp_path)

    counted = read_checkpoint(tmp_path).sample_state["seen"]
    assert counted.tolist() == [3.0] * int((plan.roles == TRAIN).sum())


def test_more_workers_than_particles_are_refused(plan, vary, tmp_path):
    roles = np.where(np.arange(100) == 0, TRAIN, SELECT)

    with pytest.raises(SettingsError, match="2 workers are too many for 1 particles"):
        fit_classifier(vary(plan, roles=roles), tmp_path, Team(0, 2))
