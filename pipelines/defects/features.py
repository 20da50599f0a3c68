"""Local features that are learnt from an archive's own normal patches, without any label.

Two views of a patch differ in noise and contrast alone. What a place looks like must be the same
in both (invariance), must vary from place to place, and its features must not repeat each other
(VICReg; Bardes, Ponce and LeCun, 2022), applied to places instead of whole pictures, because a
defect is a matter of a few of them. A file of weights from elsewhere can be used instead.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.defects.learning import BATCH_N, seeded, to_tensor, train
from pipelines.defects.model import Watch
from pipelines.defects.patches import Patches, turn
from pipelines.errors import ModelError
from pipelines.randomness import generator

#: Pixels of the image for one place, along each axis.
STRIDE_PX = 4
STEPS, RATE, BATCH, PLACES = 200, 2e-3, 16, 24
_NOISE = (0.2, 0.7)
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0


class PlaceEncoder(nn.Module):
    """A small network; features are its two last stages, as in PatchCore and PaDiM."""

    n_features = 32 + 64

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(*_stage(1, 16, size=5))
        self.second = nn.Sequential(*_stage(16, 32, stride=2), *_stage(32, 32))
        self.third = nn.Sequential(*_stage(32, 64, stride=2))
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, F, S / 4, S / 4) of patches (N, 1, S, S), smoothed over 3 x 3."""
        second, third = self.stages(x)
        second = nn.functional.avg_pool2d(second, 3, 2, 1)
        third = nn.functional.avg_pool2d(third, 3, 1, 1)
        return torch.cat([second, third], dim=1)

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the second and the third stage."""
        second = self.second(self.first(x))
        return second, self.third(second)


def learn_features(
    patches: Patches, *, seed: int, n_steps: int = STEPS, watch: Watch | None = None
) -> PlaceEncoder:
    """Learn features from normal patches."""
    rng = generator(seed, "features")
    with seeded(seed):
        encoder = PlaceEncoder()

        def loss_of(step: int) -> Tensor:
            rows = rng.integers(len(patches), size=BATCH)
            batch = to_tensor(turn(patches.pixels[rows], keep_hand=True, rng=rng))
            _, third = encoder.stages(torch.cat([_view(batch), _view(batch)]))
            places = third.flatten(2).permute(0, 2, 1)
            chosen = torch.randint(places.shape[1], (PLACES,))
            projected = encoder.projector(places[:, chosen].flatten(0, 1))
            one, two = projected.chunk(2)
            return vicreg(one, two)

        optimiser = torch.optim.Adam(encoder.parameters(), lr=RATE)
        train(encoder, loss_of, n_steps=n_steps, optimiser=optimiser, watch=watch)
    return encoder


def get_features(
    file: str | None, patches: Patches, *, seed: int, watch: Watch | None = None
) -> PlaceEncoder:
    """Read features from a file where one is given, else learn them."""
    if file is not None:
        return read_encoder(Path(file))
    return learn_features(patches, seed=seed, watch=watch)


def read_encoder(path: Path) -> PlaceEncoder:
    """Read an encoder's weights from a safetensors file.

    Raises
    ------
    ModelError
        If the file is not one, or does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    encoder = PlaceEncoder()
    try:
        encoder.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"features {path} cannot be used: {error}") from error
    return encoder.eval()


def vicreg(one: Tensor, two: Tensor) -> Tensor:
    """Return the loss of two views' embeddings, (B, D) each."""
    invariance = nn.functional.mse_loss(one, two)
    variance = torch.stack([torch.relu(1 - _sd(z)).mean() for z in (one, two)]).mean()
    covariance = torch.stack([_off_diagonal(z) for z in (one, two)]).sum()
    return _INVARIANCE * invariance + _VARIANCE * variance + _COVARIANCE * covariance


def _view(batch: Tensor) -> Tensor:
    """Add noise, and change contrast a little."""
    n = len(batch)
    low, high = _NOISE
    noise = (low + (high - low) * torch.rand(n, 1, 1, 1)) * torch.randn_like(batch)
    return (1 + 0.2 * torch.randn(n, 1, 1, 1)) * batch + noise


def _sd(z: Tensor) -> Tensor:
    return torch.sqrt(z.var(dim=0) + 1e-4)


def _off_diagonal(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)
    return (covariance**2).sum().sub((covariance.diagonal() ** 2).sum()) / z.shape[1]


def _stage(n_in: int, n_out: int, *, size: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    ]


def places_of(features: Tensor) -> Tensor:
    """Return features (N, F, h, w) as rows, a place each, (N * h * w, F)."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def sample_places(
    encoder: "PlaceEncoder", patches: Patches, n_most: int, *, rng: np.random.Generator
) -> Tensor:
    """Return the features of at most about ``n_most`` places, from patches drawn at random."""
    n_patches = max(1, n_most // (patches.edge_px // 4) ** 2)
    rows = np.sort(rng.permutation(len(patches))[:n_patches])
    with torch.inference_mode():
        parts = [
            places_of(encoder(to_tensor(patches.pixels[rows[start : start + BATCH_N]])))
            for start in range(0, len(rows), BATCH_N)
        ]
    return torch.cat(parts)


def to_pixels(values: Tensor, edge_px: int) -> "np.ndarray":
    """Spread values of places (N, h, w) over the pixels of patches."""
    spread = nn.functional.interpolate(values[:, None], edge_px, mode="bilinear")
    return spread[:, 0].numpy().astype(np.float32)
