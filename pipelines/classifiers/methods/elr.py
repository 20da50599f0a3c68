"""Early-learning regularisation: remember what was believed early, and do not unlearn it.

References
----------
Liu et al., "Early-learning regularization prevents memorization of noisy labels", NeurIPS 2020.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch
from pipelines.training.options import Option, share, weight


class Method(method.Method):
    """Minimise ``CE + lambda * log(1 - <p, t>)`` with t a running mean of p, per sample."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        labels = self.training_set.given_labels
        self._targets = torch.zeros(len(labels), self.n_classes, device=labels.device)

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the weight of the regulariser, and the decay of the targets."""
        return {"lambda": weight(3.0), "beta": share(0.7)}

    def loss(self, batch: Batch) -> Tensor:
        """Move the targets, then return the mean of the regularised loss."""
        logits = self.networks[0](batch.images)
        targets = self.moved(logits, batch)
        each = losses.cross_entropy(logits, batch.given_labels)
        each = each + self.options["lambda"] * losses.elr_penalty(logits, targets)
        return self.mean(each, batch)

    def moved(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the targets of the batch after moving them towards what is believed now."""
        targets = losses.updated_elr_targets(
            self._targets[batch.samples], logits, momentum=self.options["beta"]
        )
        counted = self._counted(batch)
        self._targets[batch.samples[counted]] = targets[counted]
        return targets

    def sample_state(self) -> dict[str, Tensor]:
        """Return the targets."""
        return {"targets": self._targets}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the targets back."""
        self._targets = state["targets"].to(self._targets.device)
