"""A small U-Net that learns to point at defects that were put into normal patches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.defects.learning import (
    BATCH_N,
    load_arrays,
    seeded,
    to_arrays,
    to_tensor,
    train,
)
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patch_maps import PatchMapper
from pipelines.defects.patches import Floats, Patches, normalise
from pipelines.defects.pseudo import insert, learn_recipe
from pipelines.randomness import generator

STEPS, RATE, BATCH = 500, 3e-3, 16
#: A changed pixel weighs so much more than another in the loss; they are that much rarer.
WEIGHT = 10.0
_SMOOTH = 3


@dataclass(frozen=True)
class PseudoDefects(PatchMapper):
    """Segments missing, added, brighter and turned atoms, and foreign clouds."""

    name: str = "pseudo-defects"
    summary: str = "a small U-Net taught by defects that were put into normal patches"
    diet: Diet = "clean"
    n_steps: int = STEPS

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn to point at what was put in."""
        rng = generator(seed, self.name)
        names = np.unique(patches.images)
        rows_of = {name: np.flatnonzero(patches.images == name) for name in names}
        recipes = {name: learn_recipe(patches.pixels[rows]) for name, rows in rows_of.items()}
        with seeded(seed):
            network = SmallUNet()

            def loss_of(step: int) -> Tensor:
                changed, masks = [], []
                for row in rng.integers(len(patches), size=BATCH):
                    name = patches.images[row]
                    other = patches.pixels[rng.choice(rows_of[name])]
                    pair = normalise(np.stack([patches.pixels[row], other]))
                    index = int(np.searchsorted(rows_of[name], row))
                    patch, mask = insert(pair[0], pair[1], recipes[name], index, rng=rng)
                    quarter = int(rng.integers(4))
                    changed.append(np.rot90(patch, quarter))
                    masks.append(np.rot90(mask, quarter))
                logits = network(to_tensor(np.stack(changed)))
                return nn.functional.binary_cross_entropy_with_logits(
                    logits, torch.from_numpy(np.stack(masks)), pos_weight=torch.tensor(WEIGHT)
                )

            optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
            train(network, loss_of, n_steps=self.n_steps, optimiser=optimiser, watch=watch)
        return DefectModel(self.name, patches.edge_px, to_arrays(network))

    def score_pixels(self, model: DefectModel, pixels: Floats) -> Floats:
        """Return logits of a defect at every pixel, smoothed a little."""
        network = load_arrays(SmallUNet(), model)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH_N):
                logits = network(to_tensor(pixels[start : start + BATCH_N]))
                smooth = nn.functional.avg_pool2d(
                    logits[:, None], _SMOOTH, 1, _SMOOTH // 2, count_include_pad=False
                )
                parts.append(smooth[:, 0].numpy())
        return np.concatenate(parts)


class SmallUNet(nn.Module):
    """Three levels; any patch whose edge is a multiple of four."""

    def __init__(self) -> None:
        super().__init__()
        self.top, self.middle = _block(1, 12, size=5), _block(12, 24)
        self.bottom = _block(24, 32)
        self.up_middle, self.up_top = _block(32 + 24, 24), _block(24 + 12, 16)
        self.last = nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, S, S) of patches (N, 1, S, S)."""
        top = self.top(x)
        middle = self.middle(nn.functional.max_pool2d(top, 2))
        bottom = self.bottom(nn.functional.max_pool2d(middle, 2))
        middle = self.up_middle(torch.cat([_as_large(bottom, middle), middle], dim=1))
        top = self.up_top(torch.cat([_as_large(middle, top), top], dim=1))
        logits: Tensor = self.last(top)
        return logits[:, 0]


def _block(n_in: int, n_out: int, *, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


def _as_large(small: Tensor, large: Tensor) -> Tensor:
    return nn.functional.interpolate(small, large.shape[2:], mode="nearest")


DETECTOR = PseudoDefects()
