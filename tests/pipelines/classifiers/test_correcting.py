"""Methods that correct losses: by memory, by matrices, by abstaining, by posteriors."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.classifiers.methods import dac, elr, elr_balanced, forward, glc
from pipelines.classifiers.methods.forward import anchor_matrix
from pipelines.classifiers.methods.glc import trusted_matrix
from pipelines.training.loop import LoopSettings, make_optimiser, train_epoch
from pipelines.training.method import Batch, TrainingSet
from pipelines.training.phases import plan_epochs

CPU = torch.device("cpu")


def everything(labels, trusted=None, k=2):
    labels = torch.as_tensor(labels)
    trusted = torch.zeros(len(labels), dtype=torch.bool) if trusted is None else trusted
    return TrainingSet(labels, torch.arange(len(labels)), torch.as_tensor(trusted), k)


def train(kind, network, points, labels, *, options, n_epochs, averages=(), trusted=None, **loop):
    """Train on points in batches of 100, phases and all."""
    method = kind.Method(
        network, everything(labels, trusted), options=options, averages=list(averages)
    )
    loop = {"learning_rate": 0.02, "weight_decay": 0.0, **loop}
    settings = LoopSettings(n_epochs=n_epochs, **loop)
    first = [{k: v.clone() for k, v in net.state_dict().items()} for net in network]

    def predict_all():
        with torch.no_grad():
            return torch.stack([net.eval()(points) for net in network])

    optimiser = make_optimiser(method, settings)
    for epoch in plan_epochs(method.phases(n_epochs, method.options)):
        if epoch.index == 0:
            method.start_phase(epoch.phase_number, predict_all)
            if epoch.phase.afresh:
                for net, start in zip(network, first, strict=True):
                    net.load_state_dict(start)
            optimiser = make_optimiser(method, settings)
        order = torch.from_numpy(np.random.default_rng(epoch.number).permutation(len(points)))
        if epoch.phase.part == "noisy":
            order = order[~method.training_set.trusted[order]]
        batches = [Batch((points[part],), labels[part], part) for part in order.split(100)]
        train_epoch(
            method, optimiser, iter(batches), epoch=epoch, n_steps=len(batches),
            settings=settings, predict_all=predict_all, seed=0, device=CPU,
        )  # fmt: skip
    return method


def two_clouds(n, *, flip, apart=2.4, seed=0):
    """Two clouds; labels of class 0 are wrong with chance flip[0], of 1 with [1]."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, n)
    points = rng.normal(0, 1, (n, 2)) + np.where(true[:, None] == 1, apart / 2, -apart / 2)
    wrong = rng.uniform(size=n) < np.where(true == 1, flip[1], flip[0])
    return (
        torch.from_numpy(points).float(),
        torch.from_numpy(np.where(wrong, 1 - true, true)),
        torch.from_numpy(true),
    )


def linear(n_out=2):
    torch.manual_seed(0)
    return nn.Linear(2, n_out)


def accuracy(network, points, true):
    with torch.no_grad():
        return (network(points)[:, :2].argmax(dim=1) == true).float().mean().item()


def test_remembered_targets_are_the_running_mean_of_what_was_predicted():
    network = nn.Identity()
    method = elr.Method([network], everything([0, 1]), options={"beta": 0.7, "lambda": 3})
    told = [torch.tensor([[0.8, 0.2], [0.5, 0.5]]), torch.tensor([[0.6, 0.4], [0.1, 0.9]])]

    for probs in told:
        method.loss(Batch((probs.log(),), torch.tensor([0, 1]), torch.tensor([0, 1])))

    expected = 0.7 * 0.3 * told[0] + 0.3 * told[1]
    torch.testing.assert_close(method.sample_state()["targets"], expected, atol=1e-5, rtol=0)


def test_an_estimated_matrix_recovers_the_boundary_of_right_labels():
    flip = (0.1, 0.4)
    points, given, true = two_clouds(6000, flip=flip)
    fresh, _, fresh_true = two_clouds(6000, flip=flip, seed=1)
    trusted = np.arange(6000) < 600
    labels = torch.where(torch.from_numpy(trusted), true, given)

    clean, plain, gold = linear(), linear(), linear()
    train(forward, [clean], points, true, options={"error_rate": 0.0}, n_epochs=6)
    train(forward, [plain], points, given, options={"error_rate": 0.0}, n_epochs=6)
    method = train(glc, [gold], points, labels, options={}, n_epochs=12, trusted=trusted)

    matrix = method.common_state()["matrix"].numpy()
    np.testing.assert_allclose(matrix, [[0.9, 0.1], [0.4, 0.6]], atol=0.06)
    best = accuracy(clean, fresh, fresh_true)
    assert accuracy(gold, fresh, fresh_true) > best - 0.01
    assert accuracy(plain, fresh, fresh_true) < best - 0.01


def test_trusted_samples_show_the_matrix_even_of_an_unsure_network():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 3000)
    matrix = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.3, 0.4]])
    probs = np.clip(matrix[true] + rng.normal(0, 0.05, (3000, 3)), 0.001, None)
    probs /= probs.sum(axis=1, keepdims=True)

    found = trusted_matrix(torch.from_numpy(probs), torch.from_numpy(true), n_classes=3)

    np.testing.assert_allclose(found, matrix, atol=0.03)


def test_a_class_without_a_trusted_sample_is_taken_to_be_given_right():
    found = trusted_matrix(torch.tensor([[0.6, 0.4]]), torch.tensor([0]), n_classes=2)

    torch.testing.assert_close(found, torch.tensor([[0.6, 0.4], [0.0, 1.0]]))


def test_anchors_are_the_surest_samples_but_for_the_very_surest():
    sure = torch.linspace(0, 0.9, 1000)
    probs = torch.stack([sure, 1 - sure], dim=1)

    found = anchor_matrix(probs, percentile=97)

    torch.testing.assert_close(
        found, torch.tensor([[0.874, 0.126], [0.027, 0.973]]), atol=2e-3, rtol=0
    )


def test_a_known_error_rate_needs_no_phase_of_its_own():
    assert len(forward.Method.phases(10, {"error_rate": 0.3})) == 1
    known = forward.Method([linear()], everything([0, 1, 1], k=2), options={"error_rate": 0.3})
    expected = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    torch.testing.assert_close(known.common_state()["matrix"], expected)


def test_what_cannot_be_learnt_is_abstained_from():
    """A tenth of the points lies apart and has labels at random."""
    points, _, true = two_clouds(3000, flip=(0, 0), apart=6)
    rng = np.random.default_rng(2)
    odd = rng.uniform(size=3000) < 0.1
    points[odd] = torch.from_numpy(rng.normal((8, -8), 0.7, (int(odd.sum()), 2))).float()
    labels = true.clone()
    labels[odd] = torch.from_numpy(rng.integers(0, 2, int(odd.sum())))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))

    method = train(
        dac, [network], points, labels, options={"set_point": 0.1, "warm_up": 0.2}, n_epochs=30
    )

    dropped = method.sample_state()["learnt"].numpy() == 0
    assert odd[dropped].mean() > 0.8
    assert dropped[odd].mean() > 0.8
    assert accuracy(network, points[~odd], true[~odd]) > 0.99


def test_balanced_elr_sees_through_wrong_labels_and_predicts_by_averaged_weights():
    points, given, true = two_clouds(4000, flip=(0.3, 0.3), apart=5)
    networks, averages = [linear()], [nn.Linear(2, 2)]

    method = train(
        elr_balanced, networks, points, given, options={}, n_epochs=14, averages=averages
    )

    assert accuracy(averages[0], points, true) > 0.99
    assert (method.sample_state()["targets"].argmax(dim=1) == true).float().mean() > 0.98


def balanced(given, **options):
    """Balanced ELR whose network, and its average, hand on what they are given."""
    identity = nn.Identity()
    return elr_balanced.Method([identity], everything(given), options=options, averages=[identity])


def test_balanced_elr_pulls_back_predictions_that_fall_into_one_class():
    logits = torch.tensor([[4.0, 0.0], [4.0, 0.0]], requires_grad=True)
    batch = Batch((logits,), torch.tensor([0, 0]), torch.arange(2))

    pulls = [
        torch.autograd.grad(balanced([0, 0, 1, 1], prior=prior).loss(batch), logits)[0]
        for prior in (0.0, 10.0)
    ]

    # Half of the given labels are of the other class, so its logits have to rise.
    assert (pulls[0][:, 1] > 0).all()
    assert (pulls[1][:, 1] < 0).all()


def test_balanced_elr_with_nothing_of_its_own_is_elr():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    batch = Batch((logits,), torch.tensor([0, 1]), torch.arange(2))

    plain = elr.Method([nn.Identity()], everything([0, 1]), options={}).loss(batch)

    assert balanced([0, 1], prior=0.0).loss(batch).item() == plain.item()


def test_balanced_elr_remembers_what_averaged_weights_say():
    points = torch.tensor([[1.0, 0.0]])
    average = nn.Linear(2, 2)
    method = elr_balanced.Method(
        [nn.Identity()], everything([0]), options={"beta": 0.0}, averages=[average]
    )

    method.loss(Batch((points,), torch.tensor([0]), torch.arange(1)))

    torch.testing.assert_close(
        method.sample_state()["targets"], average(points).softmax(dim=1).detach()
    )


def test_the_memory_of_balanced_elr_pulls_more_and_more_until_half_time():
    points = torch.tensor([[2.0, 0.0]])
    method = balanced([0], prior=0.0)
    batch = Batch((points,), torch.tensor([0]), torch.arange(1))
    said = []
    for epoch in range(5):
        method.load_sample_state({"targets": points.softmax(dim=1)})
        method.start_epoch(epoch, 6, lambda: None)
        said.append(method.loss(batch).item())

    steps = [later - before for before, later in itertools.pairwise(said)]
    assert steps[0] < -0.1
    assert steps[1] == pytest.approx(steps[0], rel=1e-4)
    assert steps[2:] == [0, 0]


@pytest.mark.parametrize("kind", [forward, glc, dac])
def test_phases_share_one_budget_of_passes_over_the_noisy_samples(kind):
    options = kind.Method.complete_options({})

    phases = kind.Method.phases(20, options)

    assert sum(phase.n_epochs for phase in phases) == 20
    assert phases[-1].afresh
