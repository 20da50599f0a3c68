import math

import pytest
import torch
import torch.nn.functional as F

from pipelines.training import losses
from pipelines.training.losses import (
    abstention_loss,
    cross_entropy,
    elr_penalty,
    forward_cross_entropy,
    generalised_cross_entropy,
    mean_absolute_error,
    normalised_cross_entropy,
    prior_divergence,
    reverse_cross_entropy,
    soft_cross_entropy,
    truncated_generalised_cross_entropy,
    updated_elr_targets,
)

PER_LABEL = [
    cross_entropy,
    mean_absolute_error,
    reverse_cross_entropy,
    generalised_cross_entropy,
    truncated_generalised_cross_entropy,
    normalised_cross_entropy,
]


def random_logits(n: int, n_classes: int, *, scale: float = 3.0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(7)
    return scale * torch.randn(n, n_classes, generator=draws)


def logits_of(*probs: float) -> torch.Tensor:
    return torch.tensor([probs]).log()


def sum_over_labels(loss, logits: torch.Tensor, **options: float) -> torch.Tensor:
    n, n_classes = logits.shape
    return sum(loss(logits, torch.full((n,), k), **options) for k in range(n_classes))


def gradient(loss, logits: torch.Tensor) -> torch.Tensor:
    leaf = logits.clone().requires_grad_()
    loss(leaf).sum().backward()
    return leaf.grad


def test_values_worked_by_hand():
    # p = (0.2, 0.5, 0.3), and class 0 is given.
    logits, labels = logits_of(0.2, 0.5, 0.3), torch.tensor([0])

    assert cross_entropy(logits, labels).item() == pytest.approx(1.609438)
    assert mean_absolute_error(logits, labels).item() == pytest.approx(0.8)
    assert reverse_cross_entropy(logits, labels).item() == pytest.approx(3.2)
    # (1 - 0.2 ** 0.5) / 0.5, and the same at 0.4, which is above 0.2
    assert generalised_cross_entropy(logits, labels, q=0.5).item() == pytest.approx(1.105573)
    cut = truncated_generalised_cross_entropy(logits, labels, q=0.5, k=0.4)
    assert cut.item() == pytest.approx(0.735089)
    # log 0.2 / log(0.2 * 0.5 * 0.3)
    assert normalised_cross_entropy(logits, labels).item() == pytest.approx(0.4589794)
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(1.151293)
    # log(1 - (0.1 + 0.25))
    assert elr_penalty(logits, targets).item() == pytest.approx(-0.430783)


def test_the_reduced_absolute_error_sums_to_one_less_than_the_classes():
    total = sum_over_labels(mean_absolute_error, random_logits(64, 4))

    assert torch.allclose(total, torch.full((64,), 3.0), atol=1e-5)


def test_the_absolute_error_is_half_of_the_unreduced_form():
    logits, labels = random_logits(64, 4), torch.arange(64) % 4

    unreduced = (F.softmax(logits, dim=1) - F.one_hot(labels, 4)).abs().sum(dim=1)

    assert torch.allclose(2 * mean_absolute_error(logits, labels), unreduced, atol=1e-6)


def test_normalised_cross_entropy_sums_to_one():
    total = sum_over_labels(normalised_cross_entropy, random_logits(64, 4))

    assert torch.allclose(total, torch.ones(64), atol=1e-5)


@pytest.mark.parametrize(("log_zero", "total"), [(-9.21, 27.63), (-4.0, 12.0)])
def test_reverse_cross_entropy_sums_to_a_constant(log_zero, total):
    sums = sum_over_labels(reverse_cross_entropy, random_logits(64, 4), log_zero=log_zero)

    assert torch.allclose(sums, torch.full((64,), total), atol=1e-4)


def test_generalised_cross_entropy_lies_between_absolute_error_and_cross_entropy():
    logits, labels = random_logits(64, 4, scale=1.0), torch.arange(64) % 4

    at_one = generalised_cross_entropy(logits, labels, q=1.0)
    near_zero = generalised_cross_entropy(logits, labels, q=1e-4)

    assert torch.allclose(at_one, mean_absolute_error(logits, labels), atol=1e-6)
    # The difference is q * CE ** 2 / 2, which stays below 1e-3 for losses below 4.4.
    assert cross_entropy(logits, labels).max() < 4.4
    assert torch.allclose(near_zero, cross_entropy(logits, labels), rtol=0, atol=1e-3)


def test_truncation_takes_the_gradient_of_unlikely_labels_only():
    logits = logits_of(0.6, 0.4)

    def loss_of(label):
        return lambda z: truncated_generalised_cross_entropy(z, torch.tensor([label]), k=0.5)

    assert gradient(loss_of(0), logits).abs().min() > 0.1
    assert gradient(loss_of(1), logits).tolist() == [[0.0, 0.0]]


def test_soft_targets_that_are_sure_give_cross_entropy():
    logits, labels = random_logits(64, 4), torch.arange(64) % 4

    soft = soft_cross_entropy(logits, F.one_hot(labels, 4).float())

    assert torch.allclose(soft, cross_entropy(logits, labels))
    assert torch.allclose(soft, F.cross_entropy(logits, labels, reduction="none"))


def test_forward_correction_without_errors_is_cross_entropy():
    logits, labels = random_logits(64, 4), torch.arange(64) % 4

    def plain(z):
        return cross_entropy(z, labels)

    def forward(z):
        return forward_cross_entropy(z, labels, torch.eye(4))

    assert torch.allclose(forward(logits), plain(logits), atol=1e-5)
    assert torch.allclose(gradient(forward, logits), gradient(plain, logits), atol=1e-5)


def test_forward_correction_reads_the_matrix_from_true_to_given():
    # True 0 is given as 1 in 30 %; true 1 always as itself: P(given 1) = 0.8 * 0.3 + 0.2.
    matrix = torch.tensor([[0.7, 0.3], [0.0, 1.0]])

    given_one = forward_cross_entropy(logits_of(0.8, 0.2), torch.tensor([1]), matrix)
    given_zero = forward_cross_entropy(logits_of(0.8, 0.2), torch.tensor([0]), matrix)

    assert given_one.item() == pytest.approx(-math.log(0.44))
    assert given_zero.item() == pytest.approx(-math.log(0.56))


def test_forward_correction_is_least_at_the_true_shares_of_classes():
    # With 30 % of labels wrong either way, 70 % of given zeros mean that all are truly 0.
    matrix = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    labels = torch.tensor([0] * 7 + [1] * 3)

    def loss(z):
        return forward_cross_entropy(z.expand(10, 2), labels, matrix)

    sure, unsure = torch.tensor([[12.0, -12.0]]), logits_of(0.7, 0.3)
    assert loss(sure).sum() < loss(unsure).sum()
    assert gradient(loss, sure).abs().max() < 1e-4


def fit_line(points: torch.Tensor, loss) -> torch.Tensor:
    """Fit a logistic model of two classes; return the logits of the points."""
    line = torch.zeros(3, 2, requires_grad=True)
    inputs = torch.cat([points, torch.ones(len(points), 1)], dim=1)
    optimiser = torch.optim.LBFGS([line], max_iter=30, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(inputs @ line).mean()
        value.backward()
        return value

    optimiser.step(closure)
    return (inputs @ line).detach()


def test_forward_correction_finds_the_boundary_that_clean_labels_give():
    draws = torch.Generator().manual_seed(5)
    n = 50_000
    true = torch.randint(2, (n,), generator=draws)
    points = torch.randn(n, 2, generator=draws) + 1.2 * (2 * true[:, None] - 1)
    # Half of class 0 is given as class 1: plain cross entropy moves its boundary far.
    matrix = torch.tensor([[0.5, 0.5], [0.05, 0.95]])
    given = torch.where(torch.rand(n, generator=draws) < matrix[true, 1], 1, 0)

    def accuracy(logits):
        return (logits.argmax(dim=1) == true).float().mean().item()

    clean = accuracy(fit_line(points, lambda z: cross_entropy(z, true)))
    plain = accuracy(fit_line(points, lambda z: cross_entropy(z, given)))
    forward = accuracy(fit_line(points, lambda z: forward_cross_entropy(z, given, matrix)))

    assert abs(forward - clean) < 0.01
    assert plain < clean - 0.05


def test_a_label_that_the_matrix_rules_out_pulls_nowhere():
    matrix = torch.tensor([[1.0, 0.0], [1.0, 0.0]])

    def loss(z):
        return forward_cross_entropy(z, torch.tensor([1]), matrix)

    assert loss(logits_of(0.8, 0.2)).item() == pytest.approx(85.2, abs=0.1)
    assert gradient(loss, logits_of(0.8, 0.2)).abs().max() < 1e-6


def test_early_learning_pulls_a_wrongly_labelled_sample_to_its_true_class():
    # Truly 0, given as 1; the network predicted 0 before and still leans to it.
    logits, given = logits_of(0.7, 0.3), torch.tensor([1])
    remembered = torch.tensor([[0.95, 0.05]])

    alone = gradient(lambda z: cross_entropy(z, given), logits)
    penalty = gradient(lambda z: elr_penalty(z, remembered), logits)
    together = gradient(lambda z: cross_entropy(z, given) + 3 * elr_penalty(z, remembered), logits)

    # Descent raises the logits with negative gradients.
    assert alone[0, 0] > 0 > alone[0, 1]
    assert together[0, 0] < 0 < together[0, 1]
    # -p0 (t0 - <p, t>) / (1 - <p, t>) with <p, t> = 0.68
    assert penalty[0, 0].item() == pytest.approx(-0.7 * 0.27 / 0.32, abs=1e-5)


def test_no_gradient_runs_into_the_memory():
    remembered = torch.tensor([[0.9, 0.1]], requires_grad=True)

    loss = elr_penalty(logits_of(0.7, 0.3).requires_grad_(), remembered)
    updated = updated_elr_targets(
        torch.zeros(1, 2), logits_of(0.7, 0.3).requires_grad_(), momentum=0.7
    )
    loss.sum().backward()

    assert remembered.grad is None
    assert not updated.requires_grad


def test_the_memory_is_the_running_mean_of_predictions():
    script = [(0.6, 0.4), (0.2, 0.8), (0.9, 0.1)]
    memory = torch.zeros(1, 2)
    start = memory

    for probs in script:
        memory = updated_elr_targets(memory, logits_of(*probs), momentum=0.7)

    # 0.3 * (0.49 * 0.6 + 0.7 * 0.2 + 0.9), and the same for the other class
    assert memory[0].tolist() == pytest.approx([0.4002, 0.2568])
    assert start.tolist() == [[0.0, 0.0]]


def descend(logits: torch.Tensor, alpha: float) -> torch.Tensor:
    labels = torch.arange(len(logits)) % (logits.shape[1] - 1)
    leaf = logits.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        abstention_loss(leaf, labels, alpha=alpha).sum().backward()
        optimiser.step()
    return leaf.detach()


def test_abstaining_worked_by_hand():
    # a = 0.5; the classes are (0.4, 0.6) once it is left out: 0.5 * -ln 0.4 - 2 * ln 0.5
    loss = abstention_loss(logits_of(0.2, 0.3, 0.5), torch.tensor([0]), alpha=2.0)

    assert loss.item() == pytest.approx(0.5 * 0.916291 + 2 * 0.693147)


def test_dear_abstaining_dies_out_and_leaves_cross_entropy():
    learnt = descend(random_logits(32, 4), alpha=1e6)

    abstaining = F.softmax(learnt, dim=1)[:, -1]
    assert abstaining.max() < 1e-3

    # From there, with class logits of any kind, only cross entropy acts on the classes.
    classes, labels = random_logits(32, 3), torch.arange(32) % 3
    never = torch.full((32, 1), -60.0)
    whole = torch.cat([classes, never], dim=1)
    pull = gradient(lambda z: abstention_loss(z, labels, alpha=1e6), whole)
    plain = gradient(lambda z: cross_entropy(z, labels), classes)
    assert torch.allclose(pull[:, :-1], plain, atol=1e-5)
    assert pull[:, -1].abs().max() < 1e-5


def test_dear_abstaining_is_pushed_down_wherever_it_stands():
    pull = gradient(
        lambda z: abstention_loss(z, torch.arange(32) % 3, alpha=1e6), random_logits(32, 4)
    )

    assert (pull[:, -1] > 0).all()


def test_free_abstaining_takes_over():
    logits, labels = random_logits(32, 4), torch.arange(32) % 3

    pull = gradient(lambda z: abstention_loss(z, labels, alpha=0.0), logits)
    assert (pull[:, -1] < 0).all()

    # Class logits held, as no two samples with the same look could be told apart by them.
    score = torch.zeros(32, 1, requires_grad=True)
    optimiser = torch.optim.Adam([score], lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        whole = torch.cat([torch.zeros(32, 3), score], dim=1)
        abstention_loss(whole, labels, alpha=0.0).sum().backward()
        optimiser.step()
    assert F.softmax(whole, dim=1)[:, -1].min() > 0.99


def test_a_prior_that_is_met_costs_nothing():
    met = torch.tensor([0.8, 0.2])

    assert prior_divergence(met, torch.tensor([0.8, 0.2])).item() == pytest.approx(0, abs=1e-6)
    # 0.5 ln(0.5 / 0.8) + 0.5 ln(0.5 / 0.2)
    expected = 0.5 * math.log(0.625) + 0.5 * math.log(2.5)
    assert prior_divergence(met, torch.tensor([0.5, 0.5])).item() == pytest.approx(expected)
    assert prior_divergence(met, torch.tensor([1.0, 0.0])).item() == pytest.approx(-math.log(0.8))


@pytest.mark.parametrize("loss", PER_LABEL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_saturated_networks_give_finite_losses_and_gradients(loss, dtype, label):
    logits = torch.tensor([[300.0, -300.0, 0.0]], dtype=dtype)
    labels = torch.tensor([label])

    values = loss(logits, labels)
    pull = gradient(lambda z: loss(z, labels), logits)

    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()
    assert torch.isfinite(pull).all()


def test_saturated_networks_abstain_remember_and_correct_finitely():
    logits, labels = (
        torch.tensor([[300.0, -300.0, 0.0], [0.0, -300.0, 300.0]]),
        torch.ones(2).long(),
    )

    for loss in (
        lambda z: abstention_loss(z, labels, alpha=1.0),
        lambda z: elr_penalty(z, torch.eye(3)[[0, 1]]),
        lambda z: forward_cross_entropy(z, labels, torch.full((3, 3), 1 / 3)),
        lambda z: soft_cross_entropy(z, torch.eye(3)[[0, 1]]),
    ):
        assert torch.isfinite(loss(logits)).all()
        assert torch.isfinite(gradient(loss, logits)).all()


def test_losses_stay_per_sample():
    logits, labels = random_logits(5, 3), torch.tensor([0, 1, 2, 0, 1])

    for loss in PER_LABEL:
        one_by_one = [loss(logits[i : i + 1], labels[i : i + 1]).item() for i in range(5)]
        assert loss(logits, labels).tolist() == pytest.approx(one_by_one)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("reverse_cross_entropy", {"log_zero": 0.0}, "log_zero must be negative"),
        ("generalised_cross_entropy", {"q": 0.0}, "q must be above 0 and at most 1, got 0"),
        ("generalised_cross_entropy", {"q": 1.5}, "q must be above 0 and at most 1, got 1.5"),
        ("truncated_generalised_cross_entropy", {"k": 1.0}, "k must be between 0 and 1"),
        ("forward_cross_entropy", {"transition_matrix": torch.eye(3)}, r"shape \(2, 2\)"),
    ],
)
def test_options_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(losses, name)(torch.zeros(1, 2), torch.tensor([0]), **options)


def test_memory_refuses_options_out_of_range():
    with pytest.raises(ValueError, match="momentum must be at least 0 and below 1, got 1"):
        updated_elr_targets(torch.zeros(1, 2), torch.zeros(1, 2), momentum=1)


def test_memory_of_a_saturated_network_keeps_within_bounds_and_sums_to_one():
    memory = updated_elr_targets(
        torch.zeros(1, 3), torch.tensor([[90.0, -90.0, -90.0]]), momentum=0.0
    )

    assert memory.sum().item() == pytest.approx(1)
    assert memory[0, 1].item() == pytest.approx(1e-4 / 1.0001)
