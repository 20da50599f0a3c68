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

Beside the grey levels the network may be shown how each stands out from what is around it, in
units of how much that varies. A dim particle on a bright and uneven support is a few grey levels
of the mosaic's whole range, and is found with it. It is not always shown, because it also lifts
what had better stay unseen: stained nuclei between faint fibres are told from them less well
(after scenes alone a pooled F1 of 0.68 in place of 0.77).
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
#: What `describe_network` begins with, by name.
CONFIGS: dict[str, dict[str, Any]] = {
    "slim": {"channels": [16, 32, 64, 96], "layers": 2},
    "wide": {"channels": [64, 128, 256, 384, 512], "layers": 2},
}
#: What a description of a network must say.
CONFIG_KEYS = ("channels", "layers", "around_px")
#: What is around a pixel, where it is compared with that: about two objects at the working scale.
_AROUND_PX = 36
#: Channels of a group that is normalised together.
_GROUP = 8
#: Surroundings are averaged over squares of so many pixels first: they are smooth anyway.
_COARSE_PX = 4
#: What surroundings are taken to vary at least, in normalised grey levels: with much less the
#: grain of an empty place looks like objects.
_LEAST_SPREAD = 0.08
#: Beyond so many times the spread, standing out says no more.
_CONTRAST_LIMIT = 4.0


def describe_network(width: str, *, local_contrast: bool = False) -> dict[str, Any]:
    """Describe a network as `build_network` takes it.

    Parameters
    ----------
    width : str
        One of `CONFIGS`.
    local_contrast : bool
        Whether it is shown how pixels stand out from what is around them, beside grey levels.
    """
    return {**CONFIGS[width], "around_px": _AROUND_PX if local_contrast else 0}


def build_network(config: Mapping[str, Any]) -> "FieldNetwork":
    """Build a network with random weights.

    Parameters
    ----------
    config : mapping
        ``channels``: multiples of 8, one per level; ``layers``: convolutions per level on the
        way down; ``around_px``: what is around a pixel, see `local_contrast`, or 0 to show the
        network grey levels alone.
    """
    return FieldNetwork(
        tuple(config["channels"]), int(config["layers"]), around_px=int(config["around_px"])
    )


class FieldNetwork(nn.Module):
    """From (N, 1, H, W) normalised grey values to (N, 4, H, W) fields, before any sigmoid.

    H and W must be multiples of `step_px`.
    """

    def __init__(self, channels: tuple[int, ...], layers: int, *, around_px: int) -> None:
        super().__init__()
        self.step_px = 2 ** len(channels)
        self.around_px = around_px
        self.first = _convolutions(8 if around_px else 4, channels[0], layers)
        self.down = nn.ModuleList(
            _convolutions(finer, coarser, layers) for finer, coarser in pairwise(channels)
        )
        self.up = nn.ModuleList(
            _convolutions(finer + coarser, finer, 1) for finer, coarser in pairwise(channels)
        )
        self.head = nn.Conv2d(channels[0], 4 * N_FIELDS, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the fields of a batch."""
        if self.around_px:
            image = torch.cat([image, local_contrast(image, self.around_px)], dim=1)
        x = self.first(F.pixel_unshuffle(image, 2))
        finer = []
        for level in self.down:
            finer.append(x)
            x = level(F.max_pool2d(x, 2))
        for level in reversed(self.up):
            wide = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([wide, finer.pop()], dim=1))
        return F.pixel_shuffle(self.head(x), 2)


def local_contrast(image: Tensor, around_px: int) -> Tensor:
    """Tell how far each pixel stands out from what is around it.

    Parameters
    ----------
    image : (N, 1, H, W) tensor
        Normalised grey values; H and W multiples of 4.
    around_px : int
        Mean and spread are taken with a weight that falls to half over so many pixels.

    Returns
    -------
    contrast : (N, 1, H, W) tensor
        In units of the spread, -4 to 4.
    """
    edge = around_px // _COARSE_PX | 1

    def around(values: Tensor) -> Tensor:
        coarse = F.avg_pool2d(values, _COARSE_PX)
        for _ in range(2):
            coarse = F.avg_pool2d(coarse, edge, 1, edge // 2, count_include_pad=False)
        return F.interpolate(coarse, scale_factor=float(_COARSE_PX), mode="bilinear")

    away = image - around(image)
    spread = around(away * away) + _LEAST_SPREAD**2
    return (away * spread.rsqrt()).clamp(-_CONTRAST_LIMIT, _CONTRAST_LIMIT)


def _convolutions(n_in: int, n_out: int, n: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(n):
        layers += [
            nn.Conv2d(n_out if index else n_in, n_out, 3, padding=1, bias=False),
            nn.GroupNorm(n_out // _GROUP, n_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
