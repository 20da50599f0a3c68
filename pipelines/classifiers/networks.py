"""Networks for crops of particles, built from a JSON-like description alone.

A model's ``config.json`` holds that description, so its weights can be loaded with `build_network`
and nothing else of ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.classifiers.architectures import ARCHITECTURES
from pipelines.errors import ModelError


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
