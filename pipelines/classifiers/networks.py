"""Networks for crops of particles, built from a JSON-like description alone.

A model's ``config.json`` holds that description, so its weights can be loaded with `build_network`
and nothing else of ours.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.errors import ModelError

#: Widths of the blocks: slim for processors, wide for accelerators.
WIDTHS: Mapping[str, tuple[int, ...]] = {
    "slim": (16, 32, 64, 128),
    "wide": (64, 128, 256, 512),
}
_CHANNELS_PER_GROUP = 8


class CompactNet(nn.Module):
    """Convolution blocks, each halving the image, then the mean over positions and one layer.

    Normalisation is by groups of channels within an image, so an image's logits do not depend on
    its batch: predictions are the same in any batch, and training on several workers the same as
    on one.

    Parameters
    ----------
    widths : sequence of int
        Channels of each block, multiples of 8.
    n_classes : int
        Number of logits.
    dropout : float
        Share of features dropped before the last layer while training.
    """

    def __init__(self, widths: Sequence[int], n_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        n_in = 1
        for number, width in enumerate(widths):
            blocks += [
                nn.Conv2d(n_in, width, 3, padding=1, bias=False),
                nn.GroupNorm(max(1, width // _CHANNELS_PER_GROUP), width),
                nn.ReLU(inplace=True),
            ]
            if number < len(widths) - 1:
                blocks.append(nn.MaxPool2d(2))
            n_in = width
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 1, H, W)."""
        scores: Tensor = self.head(self.dropout(self.features(images).mean(dim=(2, 3))))
        return scores


class PolarNet(nn.Module):
    """The same blocks on the image in polar coordinates, where turning a particle is a shift.

    Convolutions wrap around the full turn and the mean over positions forgets shifts, so the
    answer does not depend on how a particle lies: what would have to be learnt from many turned
    copies is known from the start. On a thousand particles that is worth more than anything
    else here.

    Parameters
    ----------
    widths : sequence of int
        Channels of each block, multiples of 8.
    n_classes : int
        Number of logits.
    dropout : float
        Share of features dropped before the last layer while training.
    n_angles, n_radii : int
        Samples around the centre, and from it to the nearest edge.

    References
    ----------
    Esteves et al., "Polar transformer networks", ICLR 2018.
    """

    grid: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        n_classes: int,
        *,
        dropout: float = 0.0,
        n_angles: int = 64,
        n_radii: int = 24,
    ) -> None:
        super().__init__()
        angles = torch.arange(n_angles) * (2 * math.pi / n_angles)
        radii = ((torch.arange(n_radii) + 0.5) / n_radii)[:, None]
        grid = torch.stack([radii * torch.cos(angles), radii * torch.sin(angles)], dim=-1)
        self.register_buffer("grid", grid, persistent=False)
        blocks: list[nn.Module] = []
        # How far from the centre a sample lies is a second channel: a shift along that axis is
        # no symmetry.
        n_in = 2
        for number, width in enumerate(widths):
            blocks += [
                _WrappedConv(n_in, width),
                nn.GroupNorm(max(1, width // _CHANNELS_PER_GROUP), width),
                nn.ReLU(inplace=True),
            ]
            if number < len(widths) - 1:
                blocks.append(nn.MaxPool2d(2))
            n_in = width
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 1, H, W)."""
        n = len(images)
        grid = self.grid.expand(n, -1, -1, -1)
        polar = F.grid_sample(
            images, grid.to(images.dtype), padding_mode="border", align_corners=False
        )
        radii = torch.linspace(-1, 1, polar.shape[2], device=images.device, dtype=images.dtype)
        both = torch.cat([polar, radii[None, None, :, None].expand_as(polar)], dim=1)
        features = self.features(both.contiguous(memory_format=torch.channels_last))
        scores: Tensor = self.head(self.dropout(features.mean(dim=(2, 3))))
        return scores


class _WrappedConv(nn.Module):
    """A 3 x 3 convolution that wraps around along the last axis, the angle."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=(1, 0), bias=False)

    def forward(self, polar: Tensor) -> Tensor:
        wrapped: Tensor = self.conv(F.pad(polar, (1, 1, 0, 0), mode="circular"))
        return wrapped


class MirrorEquivariant(nn.Module):
    """Make a network treat an image and its mirror image alike, with their classes exchanged.

    ``f(x)[k] = (g(x)[k] + g(Mx)[m(k)]) / 2``, where M mirrors an image and m classes. For two
    classes that are each other's mirror image the difference of logits is antisymmetric, so
    ``p(right | Mx) = 1 - p(right | x)``: no bias towards a hand can be learnt, and mirrored
    copies have nothing to teach.

    Parameters
    ----------
    network : Module
        g, from images to logits.
    mirrored_class : sequence of int
        m, which undoes itself.
    """

    swap: Tensor

    def __init__(self, network: nn.Module, mirrored_class: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("swap", torch.tensor(mirrored_class), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 1, H, W)."""
        both = self.network(torch.cat([images, images.flip(-1)]))
        plain, mirrored = both.chunk(2)
        scores: Tensor = (plain + mirrored[:, self.swap]) / 2
        return scores


class LeNet(nn.Module):
    """Two convolutions with pooling and a hidden layer, for small images such as digits.

    Parameters
    ----------
    widths : sequence of int
        Channels of the first two blocks; the third number, doubled, is the hidden layer's width.
    n_classes : int
        Number of logits.
    dropout : float
        Share of hidden features dropped while training.
    """

    def __init__(self, widths: Sequence[int], n_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(widths[0], widths[1], 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(5),
            nn.Flatten(),
            nn.Linear(25 * widths[1], 2 * widths[2]),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(2 * widths[2], n_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 1, H, W)."""
        scores: Tensor = self.layers(images)
        return scores


class NineNet(nn.Module):
    """Nine convolutions with batch normalisation, as the authors of co-teaching use.

    Parameters
    ----------
    widths : sequence of int
        Channels of the blocks are those of the second, third, and again third, second and first
        number, the middle ones doubled: (64, 128, 256, 512) gives 128, 256, 512, 256 and 128.
    n_classes : int
        Number of logits.
    dropout : float
        Share of channels dropped after each pooling while training.

    References
    ----------
    Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy labels",
    NeurIPS 2018, table 2.
    """

    def __init__(self, widths: Sequence[int], n_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        first, second, third = widths[1], widths[2], widths[3]
        layers: list[nn.Module] = []
        n_in = 1
        for width in (first, second):
            for _ in range(3):
                layers += _normalised(n_in, width, padding=1)
                n_in = width
            layers += [nn.MaxPool2d(2), nn.Dropout2d(dropout)]
        for width in (third, second, first):
            layers += _normalised(n_in, width, padding=0)
            n_in = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(n_in, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 1, H, W)."""
        scores: Tensor = self.head(self.features(images).mean(dim=(2, 3)))
        return scores


def _normalised(n_in: int, n_out: int, *, padding: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, 3, padding=padding)
    return [conv, nn.BatchNorm2d(n_out), nn.LeakyReLU(0.01, inplace=True)]


ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "polar": PolarNet,
    # A quarter of the samples: for studies of many trainings on processors.
    "polar-coarse": partial(PolarNet, n_angles=32, n_radii=12),
    "compact": CompactNet,
    "lenet": LeNet,
    "nine": NineNet,
}


class Ensemble(nn.Module):
    """Networks that were trained together and predict together, by the mean of their logits.

    Outputs beyond the classes, which some methods need in training, are left out.
    """

    def __init__(self, networks: Sequence[nn.Module], n_classes: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.n_classes = n_classes

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 1, H, W)."""
        mean = torch.stack([network(images) for network in self.networks]).mean(dim=0)
        return mean[:, : self.n_classes]


def build_network(config: Mapping[str, Any]) -> Ensemble:
    """Build an untrained network from its description.

    Parameters
    ----------
    config : mapping
        ``architecture`` (a key of `ARCHITECTURES`), ``widths`` (channels of each block),
        ``n_classes``, ``dropout``, ``antisymmetric``, ``mirrored_class`` (for each class that
        of its mirror image), ``n_networks``, how many of these predict together, and
        ``n_extra_outputs``, outputs beyond the classes.

    Raises
    ------
    ModelError
        If the description is of something else, or lacks a part.
    """
    try:
        if config["architecture"] not in ARCHITECTURES:
            raise ModelError(
                f"architecture must be one of {', '.join(ARCHITECTURES)}, "
                f"got {config['architecture']!r}"
            )
        networks = [_one_network(config) for _ in range(config["n_networks"])]
        return Ensemble(networks, config["n_classes"])
    except KeyError as error:
        raise ModelError(f"the network's description lacks {error}") from None


def _one_network(config: Mapping[str, Any]) -> nn.Module:
    make = ARCHITECTURES[config["architecture"]]
    n_extra = config.get("n_extra_outputs", 0)
    n_outputs = config["n_classes"] + n_extra
    network: nn.Module = make(config["widths"], n_outputs, dropout=config["dropout"])
    if config["antisymmetric"]:
        # What is beyond the classes has no hand.
        beyond = range(config["n_classes"], n_outputs)
        return MirrorEquivariant(network, [*config["mirrored_class"], *beyond])
    return network
