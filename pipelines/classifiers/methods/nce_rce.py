"""Active passive loss: normalised cross entropy, and reverse cross entropy.

References
----------
Ma et al., "Normalized loss functions for deep learning with noisy labels", ICML 2020.
"""

from collections.abc import Mapping

from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch
from pipelines.training.options import Option, log_of_zero, weight


class Method(method.Method):
    """Minimise ``alpha * NCE + beta * RCE``: both robust, one active and one passive."""

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the weights of both parts, and what stands for the logarithm of 0."""
        return {"alpha": weight(1.0), "beta": weight(1.0), "log_zero": log_of_zero(-9.21)}

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted sum."""
        logits = self.networks[0](batch.images)
        active = losses.normalised_cross_entropy(logits, batch.given_labels)
        passive = losses.reverse_cross_entropy(
            logits, batch.given_labels, log_zero=self.options["log_zero"]
        )
        return self.mean(self.options["alpha"] * active + self.options["beta"] * passive, batch)
