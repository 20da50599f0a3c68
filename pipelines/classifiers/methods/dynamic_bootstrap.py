"""Dynamic bootstrapping: where a mixture model finds a loss high, believe the network instead.

References
----------
Arazo et al., "Unsupervised label noise modeling and loss correction", ICML 2019 (M-DYR-H).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.mixing import mixup
from pipelines.training.mixtures import fit_beta_mixture
from pipelines.training.options import Option, positive, share, weight


class Method(method.Method):
    """Mixup throughout; after a warm-up, each label is trusted as a beta mixture of losses says."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        labels = self.training_set.given_labels
        self._doubts = torch.zeros(len(labels), device=labels.device)

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the share of epochs before doubt begins, mixup's alpha, and the prior's weight."""
        return {"warm_up": share(0.35), "alpha": positive(32.0), "prior": weight(1.0)}

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Find out anew which labels to doubt."""
        if epoch >= self.options["warm_up"] * n_epochs:
            each = losses.cross_entropy(predict_all()[0], self.training_set.given_labels)
            values = each.cpu().double().numpy()
            # The published ten steps stop well short of the mixture.
            doubts = fit_beta_mixture(values, n_steps=50).posterior_high(values)
            self._doubts = torch.from_numpy(doubts).to(each).clamp(1e-4, 1 - 1e-4)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of mixed images against mixed, partly doubted labels."""
        network = self.networks[0]
        labels = F.one_hot(batch.given_labels, self.n_classes).float()
        doubt = self._doubts[batch.samples][:, None]
        with torch.no_grad():
            believed = F.one_hot(network(batch.images).argmax(dim=1), self.n_classes).float()
        targets = (1 - doubt) * labels + doubt * believed
        groups = self.training_set.groups[batch.samples]
        mixed = mixup(batch.images, targets, alpha=self.options["alpha"], groups=groups)
        logits = network(mixed.images)
        each = losses.soft_cross_entropy(logits, mixed.targets)
        imbalance = self.imbalance(logits.float().softmax(dim=1), batch)
        return self.mean(each, batch) + self.options["prior"] * imbalance

    def sample_state(self) -> dict[str, Tensor]:
        """Return the doubts."""
        return {"doubts": self._doubts}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self._doubts = state["doubts"].to(self._doubts.device)
