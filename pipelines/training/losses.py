"""What wrong labels are allowed to cost: losses per sample, none of them reduced.

All work on log-probabilities in float32 at least, so that saturated networks and half precision
give finite values and gradients. ``p`` stands for the softmax of the logits, ``y`` for the given
label, K for the number of classes. Methods weigh, select and average.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

#: Bounds of ELR's official code; outside them its penalty has no gradient.
_ELR_PROBABILITY = (1e-4, 1 - 1e-4)
#: Stands for a zero of a transition matrix: far below what float32 probabilities can show.
_LEAST_TRANSITION = 1e-37


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``-log p_y`` per sample.

    Parameters
    ----------
    logits : (B, K) tensor
        Of any floating type; half precision is computed in float32.
    labels : (B,) tensor of int
        Given labels, 0 to K - 1.

    Returns
    -------
    losses : (B,) tensor
        At least 0, not bounded.
    """
    return -_given_log_probs(logits, labels)


def mean_absolute_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``1 - p_y`` per sample, in [0, 1].

    This is the reduced form: half the sum over classes of ``|p_k - e_k|``. Over all K labels it
    sums to K - 1 whatever the logits are, which makes it immune to symmetric noise, and slow.

    References
    ----------
    A. Ghosh, H. Kumar, P. S. Sastry, AAAI 2017, arXiv:1712.09482.
    """
    return -torch.expm1(_given_log_probs(logits, labels))


def reverse_cross_entropy(logits: Tensor, labels: Tensor, *, log_zero: float = -4.0) -> Tensor:
    """Return ``-sum_k p_k log e_k`` per sample, in [0, -A], with ``A = log_zero`` for log 0.

    It is ``-A (1 - p_y)``: the paper states A = -4, its code clamps at 1e-4, which is -9.21.

    References
    ----------
    Y. Wang et al., Symmetric Cross Entropy, ICCV 2019, arXiv:1908.06112.
    """
    if not -math.inf < log_zero < 0:
        raise ValueError(f"log_zero must be negative and finite, got {log_zero}")
    return -log_zero * mean_absolute_error(logits, labels)


def generalised_cross_entropy(logits: Tensor, labels: Tensor, *, q: float = 0.7) -> Tensor:
    """Return ``(1 - p_y^q) / q`` per sample, in [0, 1 / q].

    Towards q = 0 it is cross entropy; at q = 1, `mean_absolute_error`.

    References
    ----------
    Z. Zhang, M. R. Sabuncu, NeurIPS 2018, arXiv:1805.07836.
    """
    if not 0 < q <= 1:
        raise ValueError(f"q must be above 0 and at most 1, got {q}")
    return -torch.expm1(q * _given_log_probs(logits, labels)) / q


def truncated_generalised_cross_entropy(
    logits: Tensor, labels: Tensor, *, q: float = 0.7, k: float = 0.5
) -> Tensor:
    """Return `generalised_cross_entropy`, constant where the given label's probability is <= k.

    Such samples have no gradient. An untrained network, with ``p_y`` near 1 / K, would learn
    nothing from it: begin without truncation, and weigh samples by ``p_y > k`` as it was
    some epochs ago, as the paper does.

    References
    ----------
    Z. Zhang, M. R. Sabuncu, NeurIPS 2018, arXiv:1805.07836, section 3.3.
    """
    if not 0 < k < 1:
        raise ValueError(f"k must be between 0 and 1, got {k}")
    losses = generalised_cross_entropy(logits, labels, q=q)
    ceiling = -math.expm1(q * math.log(k)) / q
    return losses.clamp(max=ceiling)


def normalised_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log p_y / sum_k log p_k`` per sample, in [0, 1]; over all labels it sums to 1.

    References
    ----------
    X. Ma et al., Normalized Loss Functions, ICML 2020, arXiv:2006.13554.
    """
    log_probs = _log_probs(logits)
    # The sum is at most -K log K, so nothing is divided by zero.
    return _pick(log_probs, labels) / log_probs.sum(dim=1)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``-sum_k t_k log p_k`` per sample, for targets (B, K) whose rows sum to 1."""
    return -(targets * _log_probs(logits)).sum(dim=1)


def forward_cross_entropy(logits: Tensor, labels: Tensor, transition_matrix: Tensor) -> Tensor:
    """Return the cross entropy of given labels under predictions of the true ones.

    ``-log (T^T p)_y``: the network learns true classes, the matrix explains the wrong labels.

    Parameters
    ----------
    logits : (B, K) tensor
        Of the true class.
    labels : (B,) tensor of int
        Given labels.
    transition_matrix : (K, K) tensor
        ``[true, given]``, rows sum to 1. Zeros count as 1e-37, so that a given label which
        the matrix rules out costs about 85 and pulls nowhere. The identity matrix gives
        `cross_entropy`.

    References
    ----------
    G. Patrini et al., CVPR 2017, arXiv:1609.03683.
    """
    n_classes = logits.shape[1]
    if transition_matrix.shape != (n_classes, n_classes):
        raise ValueError(
            f"transition_matrix must have shape ({n_classes}, {n_classes}), "
            f"got {tuple(transition_matrix.shape)}"
        )
    log_probs = _log_probs(logits)
    matrix = transition_matrix.to(log_probs).clamp(min=_LEAST_TRANSITION)
    log_given = matrix.log().t()[labels]
    return -torch.logsumexp(log_probs + log_given, dim=1)


def elr_penalty(logits: Tensor, targets: Tensor) -> Tensor:
    """Return ``log(1 - <p, t>)`` per sample: the less, the closer to what was predicted before.

    Parameters
    ----------
    logits : (B, K) tensor
        Of this step. Probabilities are clamped to 1e-4 and 1 - 1e-4, so the value is
        at least -9.3.
    targets : (B, K) tensor
        From `updated_elr_targets`; rows sum to at most 1. No gradient runs into them.

    References
    ----------
    S. Liu et al., Early-Learning Regularization, NeurIPS 2020, arXiv:2007.00151.
    """
    probs = _log_probs(logits).exp().clamp(*_ELR_PROBABILITY)
    return torch.log1p(-(probs * targets.detach()).sum(dim=1))


def updated_elr_targets(targets: Tensor, logits: Tensor, *, momentum: float) -> Tensor:
    """Return ``momentum * t + (1 - momentum) * p``: the running memory that ELR pulls towards.

    Parameters
    ----------
    targets : (B, K) tensor
        The memory so far, zeros at first. Left as it is.
    logits : (B, K) tensor
        Of this step; probabilities are clamped as in `elr_penalty`, then sum to 1 again.
    momentum : float
        0 to 1; the authors' beta.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, got {momentum}")
    probs = _log_probs(logits.detach()).exp().clamp(*_ELR_PROBABILITY)
    probs = probs / probs.sum(dim=1, keepdim=True)
    return momentum * targets + (1 - momentum) * probs.to(targets)


def abstention_loss(logits: Tensor, labels: Tensor, *, alpha: float | Tensor) -> Tensor:
    """Return ``(1 - a) CE - alpha log(1 - a)`` per sample, with ``a`` the chance to abstain.

    Parameters
    ----------
    logits : (B, K + 1) tensor
        Of the K classes, and last of abstaining.
    labels : (B,) tensor of int
        Given labels, 0 to K - 1; CE is over the K classes alone.
    alpha : float or tensor
        What abstaining costs, not negative.

    Notes
    -----
    The authors cap ``a`` at 1 - 1e-7. Here ``log(1 - a)`` comes from logits, which needs no
    cap and leaves a way back to samples that are wholly abstained from.

    References
    ----------
    S. Thulasidasan et al., ICML 2019, arXiv:1905.10964.
    """
    scores = _at_least_float32(logits)
    # The logit of answering: log((1 - a) / a).
    answering = torch.logsumexp(scores[:, :-1], dim=1) - scores[:, -1]
    losses = cross_entropy(scores[:, :-1], labels)
    return torch.sigmoid(answering) * losses - alpha * F.logsigmoid(answering)


def prior_divergence(mean_probs: Tensor, prior: Tensor) -> Tensor:
    """Return ``KL(prior || mean p)`` of a step, one number: keeps predictions from one class.

    Parameters
    ----------
    mean_probs : (K,) tensor
        Mean of the step's predicted probabilities; see `method.Method.mean_over_step`.
    prior : (K,) tensor
        Shares of the classes that are expected, sum 1. Published code takes them to be equal,
        which is wrong wherever classes are not.
    """
    expected = prior.to(mean_probs)
    log_mean = mean_probs.clamp(min=torch.finfo(mean_probs.dtype).tiny).log()
    return (torch.xlogy(expected, expected) - expected * log_mean).sum()


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _log_probs(logits: Tensor) -> Tensor:
    return F.log_softmax(_at_least_float32(logits), dim=1)


def _given_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    return _pick(_log_probs(logits), labels)


def _pick(log_probs: Tensor, labels: Tensor) -> Tensor:
    return log_probs.gather(1, labels[:, None]).squeeze(1)
