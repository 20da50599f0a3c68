"""How many labels are wrong, as far as a network that has not yet learnt them by heart can tell."""

import torch
from torch import Tensor

from pipelines.training.losses import cross_entropy
from pipelines.training.mixtures import gaussian_low_posterior

#: With half of the labels wrong, wrong and right ones cannot be told apart.
_LARGEST = 0.49


def estimate_error_rate(logits: Tensor, given_labels: Tensor) -> Tensor:
    """Estimate the share of wrong labels by the weight of the higher of two groups of losses.

    Parameters
    ----------
    logits : (N, K) tensor
        Predictions of every training sample, early in training.
    given_labels : (N,) tensor of int
        The labels that were trained on.

    Returns
    -------
    error_rate : scalar tensor
        0 to 0.49.
    """
    each = cross_entropy(logits, given_labels).cpu().double().numpy()
    return torch.tensor(1 - gaussian_low_posterior(each).mean()).float().clamp(0, _LARGEST)
