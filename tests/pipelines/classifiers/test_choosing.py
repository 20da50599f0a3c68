"""Methods that choose samples: co-teaching and its kin."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipelines.classifiers.fit import MODEL_FOLDER, fit_classifier
from pipelines.classifiers.methods import co_teaching, co_teaching_plus, jocor
from pipelines.classifiers.methods.co_teaching import forget_rate
from pipelines.classifiers.methods.jocor import symmetric_divergence
from pipelines.training.checkpoint import read_model
from pipelines.training.method import Batch, TrainingSet
from pipelines.training.team import Team


class Table(nn.Module):
    """Logits looked up by sample: every sample's gradient is its own."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, samples):
        return self.logits[samples.long()]


def make(kind, first, second, labels, **options):
    n = len(labels)
    everything = TrainingSet(
        torch.tensor(labels), torch.arange(n), torch.zeros(n, dtype=torch.bool), 2
    )
    method = kind.Method([Table(first), Table(second)], everything, options=options)
    method.start_epoch(9, 20, lambda: torch.zeros(2, n, 2))
    samples = torch.arange(n)
    return method, Batch((samples,), torch.tensor(labels), samples)


#: Labels are all 0: network one finds samples 0 and 1 easy, network two finds 2 and 3 easy.
ONE = [[4.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 4.0]]
TWO = [[0.0, 4.0], [0.0, 3.0], [3.0, 0.0], [4.0, 0.0]]


def touched(network):
    return (network.logits.grad.abs().sum(dim=1) > 0).tolist()


def test_each_network_learns_from_exactly_what_the_other_finds_easy():
    method, batch = make(co_teaching, ONE, TWO, [0, 0, 0, 0], error_rate=0.5)

    method.loss(batch).backward()

    assert touched(method.networks[0]) == [False, False, True, True]
    assert touched(method.networks[1]) == [True, True, False, False]
    assert method.kept.tolist() == [True, True, False, False]


def test_without_exchange_each_learns_from_what_it_finds_easy_itself():
    method, batch = make(co_teaching, ONE, TWO, [0, 0, 0, 0], error_rate=0.5, exchange=0)

    method.loss(batch).backward()

    assert touched(method.networks[0]) == [True, True, False, False]
    assert touched(method.networks[1]) == [False, False, True, True]


def test_the_loss_is_the_plain_mean_over_what_is_kept():
    method, batch = make(co_teaching, ONE, TWO, [0, 0, 0, 0], error_rate=0.5)

    loss = method.loss(batch)

    wrong = F.cross_entropy(torch.tensor([[0.0, 3.0], [0.0, 4.0]]), torch.tensor([0, 0]))
    assert loss.item() == pytest.approx(2 * wrong.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("tau", "n_kept"), [(0.45, [128, 121, 115, 108, 102, 96, 89, 83, 76, 70, 70]), (0.0, [128] * 3)]
)
def test_the_forgotten_share_rises_as_published_and_counts_are_floored(tau, n_kept):
    rates = [forget_rate(epoch, tau, n_rising=10) for epoch in range(len(n_kept))]

    assert [int((1 - rate) * 128) for rate in rates] == n_kept


def test_with_nothing_to_forget_each_network_goes_its_own_way(plan, vary, tmp_path):
    """The first of two networks is, to the bit, what plain cross entropy makes of it alone."""
    pair = vary(
        plan, method="co-teaching", method_options={"error_rate": 0.0}, network_n_networks=2
    )
    for name, planned in (("pair", pair), ("alone", plan)):
        (tmp_path / name).mkdir()
        fit_classifier(planned, tmp_path / name, Team())

    both = read_model(tmp_path / "pair" / MODEL_FOLDER)[0]
    alone = read_model(tmp_path / "alone" / MODEL_FOLDER)[0]

    for weight, values in alone.items():
        torch.testing.assert_close(both[weight], values, rtol=0, atol=0)
    others = [name for name in both if name.startswith("networks.1.")]
    # Two networks that began alike would have nothing to tell each other.
    assert any(not torch.equal(both[n], both[n.replace("s.1.", "s.0.")]) for n in others)


def test_disagreement_limits_the_choice_while_there_is_any():
    apart = [[4.0, 0.0], [0.0, 3.0], [3.0, 0.0], [4.0, 0.0]]
    other = [[4.0, 0.0], [3.0, 0.0], [0.0, 3.0], [4.0, 0.0]]
    method, batch = make(co_teaching_plus, apart, other, [0, 0, 0, 0], error_rate=0.5)

    method.loss(batch).backward()

    # They differ on 1 and 2; half of the two is one: the other's easiest.
    assert touched(method.networks[0]) == [False, True, False, False]
    assert touched(method.networks[1]) == [False, False, True, False]


def test_without_disagreement_all_samples_are_chosen_from():
    method, batch = make(co_teaching_plus, ONE, ONE, [0, 0, 0, 0], error_rate=0.5)

    method.loss(batch).backward()

    assert touched(method.networks[0]) == [True, True, False, False]


def test_jocor_keeps_where_both_lose_least_together():
    first = [[4.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 4.0]]
    second = [[4.0, 0.0], [1.0, 0.0], [3.0, 0.0], [0.0, 4.0]]
    method, batch = make(jocor, first, second, [0, 0, 0, 0], error_rate=0.5)

    method.loss(batch).backward()

    assert touched(method.networks[0]) == [True, True, False, False]


def test_divergence_is_symmetric_and_zero_for_equals():
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p, q = one.softmax(dim=1), other.softmax(dim=1)
    expected = (p * (p / q).log()).sum() + (q * (q / p).log()).sum()

    assert symmetric_divergence(one, other).item() == pytest.approx(expected.item(), rel=1e-5)
    assert symmetric_divergence(one, one).item() == 0


def test_an_unknown_error_rate_is_estimated_from_early_losses():
    rng = np.random.default_rng(0)
    n = 1000
    labels = np.zeros(n, dtype=int)
    wrong = rng.uniform(size=n) < 0.3
    logits = np.where(wrong[:, None], [-1.5, 1.5], [1.5, -1.5]) + rng.normal(0, 0.3, (n, 2))
    everything = TrainingSet(
        torch.from_numpy(labels), torch.arange(n), torch.zeros(n, dtype=torch.bool), 2
    )
    method = co_teaching.Method([nn.Identity(), nn.Identity()], everything, options={})

    method.start_epoch(9, 20, lambda: torch.from_numpy(np.stack([logits, logits])))

    assert method.common_state()["estimate"].item() == pytest.approx(wrong.mean(), abs=0.03)
