"""Symmetric cross entropy: cross entropy, and cross entropy the other way round.

References
----------
Wang et al., "Symmetric cross entropy for robust learning with noisy labels", ICCV 2019.
"""

from collections.abc import Mapping

from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch
from pipelines.training.options import Option, log_of_zero, weight


class Method(method.Method):
    """Minimise ``alpha * CE + beta * RCE``; RCE is bounded, so wrong labels pull less."""

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the weights of both parts, and what stands for the logarithm of 0."""
        return {"alpha": weight(0.1), "beta": weight(1.0), "log_zero": log_of_zero(-4.0)}

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted sum."""
        logits = self.networks[0](batch.images)
        forth = losses.cross_entropy(logits, batch.given_labels)
        back = losses.reverse_cross_entropy(
            logits, batch.given_labels, log_zero=self.options["log_zero"]
        )
        return self.mean(self.options["alpha"] * forth + self.options["beta"] * back, batch)
