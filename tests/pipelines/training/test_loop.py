from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipelines.errors import ModelError
from pipelines.training.loop import (
    LoopSettings,
    learning_rate_at,
    make_optimiser,
    should_stop,
    train_epoch,
)
from pipelines.training.method import Batch, Method, TrainingSet
from pipelines.training.options import positive
from pipelines.training.phases import Phase, plan_epochs

CPU = torch.device("cpu")
#: Two clouds of points that one layer can part.
POINTS = torch.tensor([[1.0, 2], [2, 1], [1.5, 1.5], [-1, -2], [-2, -1], [-1.5, -1]])
LABELS = torch.tensor([1, 1, 1, 0, 0, 0])


class Plain(Method):
    """Cross entropy, with an option and nothing else."""

    @staticmethod
    def known_options():
        return {"factor": positive(1.0)}

    def loss(self, batch):
        scores = self.networks[0](batch.images)
        return self.options["factor"] * F.cross_entropy(scores, batch.given_labels)


class Exchange(Method):
    """Two networks that choose each other's samples; remembers how often each was chosen."""

    n_networks = 2

    def __init__(self, networks, training_set, **settings):
        super().__init__(networks, training_set, **settings)
        self.n_chosen = torch.zeros(len(training_set))
        self.keep = 1.0

    def start_epoch(self, epoch, n_epochs, predict_all):
        self.keep = 1 - 0.5 * epoch / n_epochs

    def loss(self, batch):
        losses = [
            F.cross_entropy(network(batch.images), batch.given_labels, reduction="none")
            for network in self.networks
        ]
        n_kept = int(self.keep * len(batch.samples))
        one, other = (values.argsort()[:n_kept] for values in losses)
        self.n_chosen[batch.samples[one]] += 1
        return losses[0][other].mean() + losses[1][one].mean()

    def sample_state(self):
        return {"n_chosen": self.n_chosen}

    def load_sample_state(self, state):
        self.n_chosen = state["n_chosen"]


def networks(n, *, dropout=0.0):
    torch.manual_seed(0)
    return [nn.Sequential(nn.Dropout(dropout), nn.Linear(2, 2)) for _ in range(n)]


def start(kind, n=1, *, dropout=0.0, **options):
    everything = TrainingSet(LABELS, torch.arange(6), torch.zeros(6, dtype=torch.bool), 2)
    return kind(networks(n, dropout=dropout), everything, options=options)


def epochs(method, settings, *, first=0, last=None, optimiser=None, seed=0):
    optimiser = optimiser or make_optimiser(method, settings)
    losses = []
    for epoch in plan_epochs([Phase(settings.n_epochs)])[first:last]:
        order = torch.from_numpy(np.random.default_rng(epoch.number).permutation(6))
        batches = [Batch((POINTS[part],), LABELS[part], part) for part in order.split(3)]
        losses.append(
            train_epoch(
                method,
                optimiser,
                iter(batches),
                epoch=epoch,
                n_steps=len(batches),
                settings=settings,
                predict_all=lambda: torch.stack([net(POINTS) for net in method.networks]),
                seed=seed,
                device=CPU,
            )
        )
    return losses


def test_what_can_be_told_apart_is_learnt():
    method = start(Plain)

    losses = epochs(method, LoopSettings(n_epochs=30, learning_rate=0.1))

    assert losses[-1] < 0.1 < losses[0]
    assert (method.networks[0](POINTS).argmax(dim=1) == LABELS).all()


def test_two_networks_that_choose_each_others_samples_fit_the_same_loop():
    method = start(Exchange, 2)

    epochs(method, LoopSettings(n_epochs=20, learning_rate=0.1))

    for network in method.networks:
        assert (network(POINTS).argmax(dim=1) == LABELS).all()
    assert 60 < method.n_chosen.sum() < 120


def test_a_method_may_ask_for_all_predictions_and_pays_only_then():
    asked = []

    class Asking(Plain):
        def start_epoch(self, epoch, n_epochs, predict_all):
            if epoch == 1:
                asked.append(predict_all().shape)

    epochs(start(Asking), LoopSettings(n_epochs=3))

    assert asked == [(1, 6, 2)]


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_own_generator_alone():
    settings = LoopSettings(n_epochs=3, learning_rate=0.1)
    torch.manual_seed(99)
    expected = torch.rand(3)

    runs = []
    for seed in (0, 0, 1):
        method = start(Plain, dropout=0.5)
        torch.manual_seed(99)
        epochs(method, settings, seed=seed)
        torch.testing.assert_close(torch.rand(3), expected)
        runs.append(method.networks[0][1].weight.detach())

    torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=0)
    assert not torch.allclose(runs[0], runs[2])


def test_a_resumed_training_equals_an_undisturbed_one():
    settings = LoopSettings(n_epochs=6, learning_rate=0.1)
    whole = start(Plain, dropout=0.5)
    epochs(whole, settings)

    half = start(Plain, dropout=0.5)
    optimiser = make_optimiser(half, settings)
    epochs(half, settings, last=3, optimiser=optimiser)
    again = start(Plain, dropout=0.5)
    again.networks[0].load_state_dict(half.networks[0].state_dict())
    fresh = make_optimiser(again, settings)
    fresh.load_state_dict(optimiser.state_dict())
    epochs(again, settings, first=3, optimiser=fresh)

    torch.testing.assert_close(
        again.networks[0][1].weight, whole.networks[0][1].weight, rtol=0, atol=0
    )


def test_a_loss_that_is_not_a_number_ends_training_with_one_clear_line():
    with pytest.raises(ModelError, match="came apart in epoch 0: the loss is nan"):
        epochs(start(Plain, factor=1e39), LoopSettings(n_epochs=1))


def test_gradients_are_clipped_network_by_network():
    method = start(Plain, factor=1e6)
    before = method.networks[0][1].weight.detach().clone()
    settings = LoopSettings(n_epochs=1, clip_norm=1e-9, weight_decay=0, learning_rate=1e-3)

    optimiser = torch.optim.SGD(method.networks[0].parameters(), lr=1.0)
    epochs(method, settings, optimiser=optimiser)

    assert (method.networks[0][1].weight - before).norm() < 1e-8


def test_the_learning_rate_rises_and_falls():
    settings = LoopSettings(learning_rate=2.0, warm_up=0.1)

    rates = [learning_rate_at(step, 100, settings) for step in range(100)]

    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001


def test_a_training_of_one_step_has_a_rate():
    assert learning_rate_at(0, 1, LoopSettings(learning_rate=2.0)) == 2.0


@pytest.mark.parametrize(
    ("losses", "patience", "stops"),
    [
        ([], 3, False),
        ([3, 2, 1], 1, False),
        ([1, 2], 1, True),
        ([3, 1, 2], 2, False),
        ([3, 1, 2, 1.5], 2, True),
        ([1, 2, 3, 4], 0, False),
    ],
)
def test_training_stops_when_patience_ends(losses, patience, stops):
    assert should_stop(losses, LoopSettings(patience_epochs=patience)) is stops


def test_an_option_that_a_method_does_not_have_is_refused():
    with pytest.raises(ValueError, match="no option facter"):
        start(Plain, facter=2)


def test_weights_decay_and_biases_do_not():
    decays = {
        parameter.ndim: group["weight_decay"]
        for group in make_optimiser(start(Plain), LoopSettings(weight_decay=0.3)).param_groups
        for parameter in group["params"]
    }

    assert decays == {2: 0.3, 1: 0.0}
