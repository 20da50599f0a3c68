"""Cross entropy: believe the given labels. The baseline that every other method must beat."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from pipelines.training import method
from pipelines.training.method import Batch
from pipelines.training.options import Option, share


class Method(method.Method):
    """Minimise the cross entropy of the given labels."""

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the share of probability that is taken from the given label and spread evenly."""
        return {"label_smoothing": share(0.0)}

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy."""
        losses = F.cross_entropy(
            self.networks[0](batch.images),
            batch.given_labels,
            label_smoothing=self.options["label_smoothing"],
            reduction="none",
        )
        return self.mean(losses, batch)
