"""ELR+: two networks with averaged weights, each remembering what the other believed, and mixup.

References
----------
Liu et al., "Early-learning regularization prevents memorization of noisy labels", NeurIPS 2020.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch
from pipelines.training.mixing import mixup
from pipelines.training.options import Option, positive, share, weight


class Method(method.Method):
    """Regularise each network by targets that the other's averaged weights predicted."""

    n_networks = 2
    average_decay = 0.997

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        labels = self.training_set.given_labels
        self._targets = torch.zeros(len(labels), 2, self.n_classes, device=labels.device)

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the weight of the regulariser, the decay of targets, and mixup's alpha."""
        return {"lambda": weight(3.0), "beta": share(0.7), "alpha": positive(1.0)}

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both networks' regularised losses on mixed images."""
        groups = self.training_set.groups[batch.samples]
        hard = F.one_hot(batch.given_labels, self.n_classes).float()
        total = torch.zeros((), device=hard.device)
        for number, network in enumerate(self.networks):
            targets = self._move(number, batch)
            both = torch.cat([hard, targets], dim=1)
            mixed = mixup(batch.images, both, alpha=self.options["alpha"], groups=groups)
            logits = network(mixed.images)
            labels, targets = mixed.targets.chunk(2, dim=1)
            each = losses.soft_cross_entropy(logits, labels)
            each = each + self.options["lambda"] * losses.elr_penalty(logits, targets)
            total = total + self.mean(each, batch)
        return total

    def _move(self, number: int, batch: Batch) -> Tensor:
        """Move a network's targets towards what the other's average says of clean images."""
        other = self.averages[1 - number].eval()
        with torch.no_grad():
            logits = other(batch.images)
        targets = losses.updated_elr_targets(
            self._targets[batch.samples, number], logits, momentum=self.options["beta"]
        )
        counted = self._counted(batch)
        self._targets[batch.samples[counted], number] = targets[counted]
        return targets

    def sample_state(self) -> dict[str, Tensor]:
        """Return both networks' targets."""
        return {"targets": self._targets}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the targets back."""
        self._targets = state["targets"].to(self._targets.device)
