"""Convolutional autoencoder: what it cannot draw again, or where its code is rarely, is odd."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.defects.learning import (
    in_batches,
    load_arrays,
    seeded,
    to_arrays,
    to_tensor,
    train,
)
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Floats, Patches, turn
from pipelines.randomness import generator

#: As published: 96 px inputs, a code of 27 numbers, Adadelta at 0.001, 100 epochs of 11 steps,
#: mean squared error, a Gaussian kernel of bandwidth 0.2 on the code.
PUBLISHED_INPUT_PX, PUBLISHED_RATE, PUBLISHED_STEPS = 96, 1e-3, 1100
BANDWIDTH = 0.2
#: The repaired one: a step size that moves, a code that holds a lattice, normalised patches.
STEPS, RATE, BATCH, CODE_CHANNELS = 400, 4e-3, 16, 8
#: Codes that are kept for the density; more change nothing but the time.
MOST_CODES = 1000


@dataclass(frozen=True)
class ConvAutoencoder:
    """Reconstruction error and density of the code, both counted in sds of normal patches.

    The published patches were false-colour pictures; here they are grey, which is all they held.
    """

    name: str = "autoencoder"
    summary: str = "error of drawing the patch again, and rarity of its code"
    diet: Diet = "clean"
    as_published: bool = False
    n_steps: int = STEPS

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn to draw patches, then what error and density are normal."""
        rng = generator(seed, self.name)
        with seeded(seed):
            network = self._network()
            optimiser: torch.optim.Optimizer = (
                torch.optim.Adadelta(network.parameters(), lr=PUBLISHED_RATE)
                if self.as_published
                else torch.optim.Adam(network.parameters(), lr=RATE)
            )

            def loss_of(step: int) -> Tensor:
                rows = rng.integers(len(patches), size=BATCH)
                pixels = patches.pixels[rows]
                if not self.as_published:
                    pixels = turn(pixels, keep_hand=False, rng=rng)
                batch = self._prepare(pixels)
                return nn.functional.mse_loss(network(batch), batch)

            train(network, loss_of, n_steps=self.n_steps, optimiser=optimiser, watch=watch)
        rows = np.sort(rng.permutation(len(patches))[:MOST_CODES])
        codes = self._codes(network, patches.pixels[rows])
        scale = np.maximum(codes.std(axis=0), 1e-9)
        unscaled = self.as_published
        arrays = {
            **to_arrays(network),
            "codes": codes if unscaled else codes / scale,
            "scale": np.ones_like(scale) if unscaled else scale,
        }
        model = DefectModel(self.name, patches.edge_px, arrays)
        parts = self._parts(model, patches.pixels[rows], skip_self=True)
        arrays |= {"mean": parts.mean(axis=0), "sd": np.maximum(parts.std(axis=0), 1e-9)}
        return DefectModel(self.name, patches.edge_px, arrays)

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return the larger of error and rarity: a patch is odd by either, as published."""
        parts = self._parts(model, patches.pixels)
        scores: NDArray[np.float64] = ((parts - model.arrays["mean"]) / model.arrays["sd"]).max(
            axis=1
        )
        return scores

    def draw(self, model: DefectModel, pixels: Floats) -> tuple[Floats, Floats]:
        """Return what the network is shown and what it draws, (N, s, s) each."""
        network = load_arrays(self._network(), model)
        drawn = in_batches(pixels, lambda x: network(x)[:, 0], prepare=self._prepare)
        shown = in_batches(pixels, lambda x: x[:, 0], prepare=self._prepare)
        return shown.astype(np.float32), drawn.astype(np.float32)

    def _parts(
        self, model: DefectModel, pixels: Floats, *, skip_self: bool = False
    ) -> NDArray[np.float64]:
        """Return error and rarity of patches, (N, 2)."""
        network = load_arrays(self._network(), model)
        error = in_batches(
            pixels, lambda x: ((network(x) - x) ** 2).mean(dim=(1, 2, 3)), prepare=self._prepare
        )
        codes = self._codes(network, pixels) / model.arrays["scale"]
        # In many dimensions a bandwidth of 0.2 sds would leave every code alone.
        width = BANDWIDTH if self.as_published else np.sqrt(codes.shape[1])
        rarity = -log_density(codes, model.arrays["codes"], width, skip_self=skip_self)
        return np.stack([error, rarity], axis=1)

    def _codes(self, network: nn.Module, pixels: Floats) -> NDArray[np.float64]:
        """Return codes; the repaired one's are pooled, so that the lattice's phase is no matter."""

        def encode(x: Tensor) -> Tensor:
            code: Tensor = network[0](x)  # type: ignore[index]
            if self.as_published:
                return code.flatten(1)
            return torch.cat(
                [code.mean(dim=(2, 3)), code.amax(dim=(2, 3)), code.amin(dim=(2, 3))], 1
            )

        return in_batches(pixels, encode, prepare=self._prepare)

    def _prepare(self, pixels: Floats) -> Tensor:
        if not self.as_published:
            return to_tensor(pixels)
        x = torch.from_numpy(pixels)[:, None]
        low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        # A picture's grey levels, 0 to 1, of the size that was published.
        return nn.functional.interpolate(
            (x - low) / (high - low).clamp_min(1e-9), PUBLISHED_INPUT_PX, mode="bilinear"
        )

    def _network(self) -> nn.Sequential:
        if self.as_published:
            encoder = nn.Sequential(
                *_conv(1, 16), nn.MaxPool2d(4), *_conv(16, 8), nn.MaxPool2d(4), *_conv(8, 3),
                nn.MaxPool2d(2),
            )  # fmt: skip
            decoder = nn.Sequential(
                *_conv(3, 3), nn.Upsample(scale_factor=2),
                *_conv(3, 8), nn.Upsample(scale_factor=4),
                *_conv(8, 16), nn.Upsample(scale_factor=4),
                nn.Conv2d(16, 1, 3, padding=1), nn.Sigmoid(),
            )  # fmt: skip
        else:
            encoder = nn.Sequential(
                *_conv(1, 16), *_conv(16, 32, stride=2), *_conv(32, 32, stride=2),
                nn.Conv2d(32, CODE_CHANNELS, 3, padding=1),
            )  # fmt: skip
            decoder = nn.Sequential(
                *_conv(CODE_CHANNELS, 32), nn.Upsample(scale_factor=2), *_conv(32, 16),
                nn.Upsample(scale_factor=2), *_conv(16, 8), nn.Conv2d(8, 1, 3, padding=1),
            )  # fmt: skip
        return nn.Sequential(encoder, decoder)


def log_density(
    codes: NDArray[np.float64], known: NDArray[np.float64], width: float, *, skip_self: bool = False
) -> NDArray[np.float64]:
    """Return the log of a Gaussian kernel density estimate, up to a constant.

    With ``skip_self``, ``codes`` are ``known`` and no code counts for itself.
    """
    distance = (codes**2).sum(1)[:, None] + (known**2).sum(1) - 2 * codes @ known.T
    exponent = -np.maximum(distance, 0) / (2 * width**2)
    if skip_self:
        np.fill_diagonal(exponent, -np.inf)
    top = exponent.max(axis=1, keepdims=True)
    total: NDArray[np.float64] = top[:, 0] + np.log(np.exp(exponent - top).sum(axis=1))
    return total


def _conv(n_in: int, n_out: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.ReLU()]


DETECTOR = ConvAutoencoder()
PUBLISHED = ConvAutoencoder(
    name="autoencoder-published", diet="all", as_published=True, n_steps=PUBLISHED_STEPS
)
