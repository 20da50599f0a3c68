"""Dense network: the published one, and one with dropout, class weights and turned patches.

It learns from labelled defects, so it only knows what it was shown.
"""

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

#: As published: dense layers, plain gradient descent, binary cross entropy, 200 iterations.
HIDDEN, PUBLISHED_STEPS, PUBLISHED_RATE = (128, 32), 200, 0.01
#: The repaired one.
STEPS, RATE, BATCH, DROPOUT = 300, 1e-3, 64, 0.5


@dataclass(frozen=True)
class DenseNet:
    """Flatten, dense layers, one number."""

    name: str = "dense-net"
    summary: str = "dense layers that learn from labelled defects"
    diet: Diet = "labelled"
    as_published: bool = False
    n_steps: int = STEPS

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn from normal patches and defects."""
        rng = generator(seed, self.name)
        truth = torch.from_numpy(patches.is_defect.astype(np.float32))
        with seeded(seed):
            network = self._network(patches.edge_px)
            if self.as_published:
                everything = _raw(patches.pixels)
                optimiser: torch.optim.Optimizer = torch.optim.SGD(
                    network.parameters(), lr=PUBLISHED_RATE
                )

                def loss_of(step: int) -> Tensor:
                    return nn.functional.binary_cross_entropy_with_logits(
                        network(everything), truth
                    )
            else:
                optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
                bad, good = np.flatnonzero(patches.is_defect), np.flatnonzero(~patches.is_defect)

                def loss_of(step: int) -> Tensor:
                    # Half of a batch are defects, which is what weighing the classes comes to.
                    rows = np.concatenate(
                        [rng.choice(bad, BATCH // 2), rng.choice(good, BATCH // 2)]
                    )
                    turned = turn(patches.pixels[rows], keep_hand=False, rng=rng)
                    return nn.functional.binary_cross_entropy_with_logits(
                        network(to_tensor(turned)), truth[rows]
                    )

            train(network, loss_of, n_steps=self.n_steps, optimiser=optimiser, watch=watch)
        return DefectModel(self.name, patches.edge_px, to_arrays(network))

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return the logit of a defect."""
        network = load_arrays(self._network(model.patch_px), model)
        prepare = _raw if self.as_published else to_tensor
        return in_batches(patches.pixels, network, prepare=prepare)

    def _network(self, edge_px: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        n_in = edge_px**2
        for n_out in HIDDEN:
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
            if not self.as_published:
                layers.append(nn.Dropout(DROPOUT))
            n_in = n_out
        return nn.Sequential(*layers, nn.Linear(n_in, 1), nn.Flatten(0))


def _raw(pixels: Floats) -> Tensor:
    """Take grey levels as they are, but for their unit: 16-bit images would overflow the loss."""
    return torch.from_numpy(pixels)[:, None] / 2.0**16


DETECTOR = DenseNet()
PUBLISHED = DenseNet(name="dense-net-published", as_published=True, n_steps=PUBLISHED_STEPS)
