"""What a wrong field costs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.segmentation.learned.network import FIELDS

#: How much each field counts.
_SHARES = {"foreground": 1.0, "depth": 3.0, "edge": 1.0, "width": 0.1}
#: Pixels beside the edge of an object, on both sides, count so much more: they are few, and part
#: it from its neighbours.
_RIM_FACTOR = 3.0


def field_loss(fields: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    fields : (N, 4, H, W) tensor
        From the network.
    targets, weights : (N, 4, H, W) tensors
        From `targets.make_targets`. A pixel without weight costs nothing, whatever is said of it.
    """
    total = fields.new_zeros(())
    edge = targets[:, FIELDS.index("edge")]
    rim = 1 + (_RIM_FACTOR - 1) * F.max_pool2d(edge, 3, stride=1, padding=1)
    for index, name in enumerate(FIELDS):
        said, wanted, weight = fields[:, index], targets[:, index], weights[:, index]
        if name in ("width", "depth"):
            cost = F.smooth_l1_loss(said, wanted, reduction="none", beta=0.1)
        else:
            cost = F.binary_cross_entropy_with_logits(said, wanted, reduction="none")
        if name != "width":
            weight = weight * rim
        total = total + _SHARES[name] * (cost * weight).sum() / weight.sum().clamp(min=1.0)
    return total


def foreground_agreement(found: Tensor, given: Tensor) -> tuple[float, float]:
    """Return the pixels that two masks share, and those that at least one holds."""
    both = torch.logical_and(found, given).sum()
    either = torch.logical_or(found, given).sum()
    return float(both), float(either)
