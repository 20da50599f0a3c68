"""Samples mixed in pairs, images and targets by the same shares."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Mixed(NamedTuple):
    """Samples mixed in pairs: ``shares`` of each one itself, the rest of its partner."""

    images: Tensor
    targets: Tensor
    partners: Tensor
    shares: Tensor


def mixup(
    images: Tensor, targets: Tensor, *, alpha: float, groups: Tensor, mostly_own: bool = False
) -> Mixed:
    """Mix every sample with one of another group, chosen at random.

    Parameters
    ----------
    images : (B, ...) tensor
        Images, or whatever is to be mixed.
    targets : (B, K) tensor
        Their targets, mixed by the same shares.
    alpha : float
        Shares are drawn per sample from Beta(alpha, alpha), by torch's own generator.
    groups : (B,) tensor of int
        Particle ids. A particle is never mixed with its own mirror image, whose label is the
        opposite on purpose; where all are of one group nothing is mixed.
    mostly_own : bool
        Whether shares are 0.5 or more, as MixMatch has it.

    Returns
    -------
    mixed : Mixed
        ``share * own + (1 - share) * partner's``; partners (B,) index the batch, shares are (B,).

    References
    ----------
    H. Zhang et al., mixup, ICLR 2018, arXiv:1710.09412.
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha must be positive and finite, got {alpha}")
    same = groups[:, None] == groups[None, :]
    lots = torch.rand(same.shape, device=same.device).masked_fill(same, -1.0)
    partners = lots.argmax(dim=1)
    alone = same.all(dim=1)
    shares = torch.distributions.Beta(alpha, alpha).sample((len(groups),)).to(images)
    if mostly_own:
        shares = torch.maximum(shares, 1 - shares)
    shares = torch.where(alone, torch.ones_like(shares), shares)
    mixed_targets = _blend(targets, partners, shares)
    return Mixed(_blend(images, partners, shares), mixed_targets, partners, shares)


def _blend(values: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    own = shares.to(values).reshape(-1, *[1] * (values.ndim - 1))
    return own * values + (1 - own) * values[partners]
