import pytest
import torch
from torch import nn

from pipelines.classifiers.methods import method_names, method_type
from pipelines.classifiers.methods.ce import Method
from pipelines.errors import SettingsError
from pipelines.training.method import Batch, TrainingSet
from services.learning_settings import METHODS


def test_methods_are_found_by_their_files():
    assert "ce" in method_names()
    assert method_type("ce") is Method


def test_the_help_names_every_method():
    assert list(METHODS) == method_names()


@pytest.mark.parametrize("name", ["", "CE", "../ce", "magic"])
def test_a_method_that_is_not_there_is_refused(name):
    with pytest.raises(SettingsError, match=r"--method must be one of .*ce.*, got"):
        method_type(name)


def cross_entropy(**options):
    labels = torch.tensor([1, 0])
    everything = TrainingSet(labels, torch.arange(2), torch.zeros(2, dtype=torch.bool), 2)
    method = Method([nn.Identity()], everything, options=options)
    # p = (1/4, 3/4) and (1/2, 1/2), labels 1 and 0.
    logits = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    return method.loss(Batch((logits,), labels, torch.arange(2)))


def test_cross_entropy_is_the_mean_surprise_at_the_given_labels():
    assert cross_entropy() == pytest.approx((-torch.tensor([0.75, 0.5]).log()).mean())


def test_label_smoothing_spreads_its_share_evenly():
    surprise = -torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()

    assert cross_entropy(label_smoothing=0.2) == pytest.approx(
        (0.9 * surprise[:, 0] + 0.1 * surprise[:, 1]).mean()
    )


def imbalance(labels, probs, **settings):
    everything = TrainingSet(
        torch.tensor(labels), torch.arange(4), torch.zeros(4, dtype=torch.bool), 3, **settings
    )
    method = Method([nn.Identity()], everything, options={})
    return method.imbalance(probs, Batch((probs,), everything.given_labels, torch.arange(4)))


def test_predictions_that_forget_a_class_are_imbalanced():
    sure = torch.eye(3)[[0, 0, 1, 2]]

    assert imbalance([0, 0, 1, 2], sure) == pytest.approx(0, abs=1e-6)
    assert imbalance([0, 0, 1, 2], sure[[0, 0, 1, 1]]) > 1


def test_with_the_mirror_built_in_a_population_may_be_of_one_hand():
    # Two labels of four are wrong; the network sees that all but the last are of the first class.
    seen = torch.eye(3)[[0, 0, 0, 2]]

    assert imbalance([0, 0, 1, 2], seen) > 0.1
    found = imbalance([0, 0, 1, 2], seen, mirrored_class=(1, 0, 2))
    assert found == pytest.approx(0, abs=1e-6)
    # The class that is its own mirror image is still not to be forgotten.
    assert imbalance([0, 0, 1, 2], seen[[0, 0, 0, 1]], mirrored_class=(1, 0, 2)) > 1
