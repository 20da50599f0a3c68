"""Architectures of networks for crops of particles and other small images."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.features = _blocks(partial(nn.Conv2d, kernel_size=3, padding=1, bias=False), 1, widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], n_classes)

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
        # How far from the centre a sample lies is a second channel: a shift along that axis is
        # no symmetry.
        self.features = _blocks(_WrappedConv, 2, widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], n_classes)

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


def _blocks(
    convolution: Callable[[int, int], nn.Module], n_in: int, widths: Sequence[int]
) -> nn.Sequential:
    """Stack blocks of convolution, normalisation and rectifier, halving between them."""
    blocks: list[nn.Module] = []
    for n_channels, width in pairwise([n_in, *widths]):
        if blocks:
            blocks.append(nn.MaxPool2d(2))
        blocks += [
            convolution(n_channels, width),
            nn.GroupNorm(max(1, width // _CHANNELS_PER_GROUP), width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*blocks)


class _WrappedConv(nn.Module):
    """A 3 x 3 convolution that wraps around along the last axis, the angle."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=(1, 0), bias=False)

    def forward(self, polar: Tensor) -> Tensor:
        wrapped: Tensor = self.conv(F.pad(polar, (1, 1, 0, 0), mode="circular"))
        return wrapped


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
