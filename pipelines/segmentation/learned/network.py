"""A small U-Net from one grey channel to the fields that instances are decoded from.

The first convolution looks at two by two pixels at once and the last one writes as many, so that
no layer runs at full resolution: on a processor that is most of the time, and objects at the
working scale are some twenty pixels wide. Norms are over groups of channels of one block: they
need no running statistics, so a small batch does no harm, and dim and bright regions of a mosaic
are evened out block by block.

Four fields were tried, all learned at once on the same patches: whether a pixel is foreground,
how far it is inside its object (distance to the object's edge as a share of the largest one), the
edge between touching objects, and the object's width. Instances are decoded from the first two;
`pipelines.segmentation.learned.heights` says why.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: What the network says of a pixel, in order of its channels.
FIELDS = ("foreground", "depth", "edge", "width")
N_FIELDS = len(FIELDS)
#: What `build_network` takes, by name.
CONFIGS: dict[str, dict[str, Any]] = {
    "slim": {"channels": [16, 32, 64, 96], "layers": 2},
    "wide": {"channels": [64, 128, 256, 384, 512], "layers": 2},
}
#: Channels of a group that is normalised together.
_GROUP = 8


def build_network(config: Mapping[str, Any]) -> "FieldNetwork":
    """Build a network with random weights.

    Parameters
    ----------
    config : mapping
        ``channels``: multiples of 8, one per level; ``layers``: convolutions per level on the
        way down.
    """
    return FieldNetwork(tuple(config["channels"]), int(config["layers"]))


class FieldNetwork(nn.Module):
    """From (N, 1, H, W) normalised grey values to (N, 4, H, W) fields, before any sigmoid.

    H and W must be multiples of `step_px`.
    """

    def __init__(self, channels: tuple[int, ...], layers: int) -> None:
        super().__init__()
        self.step_px = 2 ** len(channels)
        self.first = _convolutions(4, channels[0], layers)
        self.down = nn.ModuleList(
            _convolutions(finer, coarser, layers) for finer, coarser in pairwise(channels)
        )
        self.up = nn.ModuleList(
            _convolutions(finer + coarser, finer, 1) for finer, coarser in pairwise(channels)
        )
        self.head = nn.Conv2d(channels[0], 4 * N_FIELDS, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the fields of a batch."""
        x = self.first(F.pixel_unshuffle(image, 2))
        finer = []
        for level in self.down:
            finer.append(x)
            x = level(F.max_pool2d(x, 2))
        for level in reversed(self.up):
            wide = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([wide, finer.pop()], dim=1))
        return F.pixel_shuffle(self.head(x), 2)


def _convolutions(n_in: int, n_out: int, n: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(n):
        layers += [
            nn.Conv2d(n_out if index else n_in, n_out, 3, padding=1, bias=False),
            nn.GroupNorm(n_out // _GROUP, n_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
