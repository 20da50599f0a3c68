"""Two-step: learn from a tiny trusted set first, then go on with the noisy one.

Nothing is frozen and no layer is new: the second step starts from the first one's weights with a
fresh optimiser. Without a first step this is plain cross entropy, to the bit.

References
----------
Groschner et al., "Methodologies for successful segmentation of HRTEM images via neural network"
and npj Comput. Mater. 8, 149 (2022).
"""

from collections.abc import Mapping

from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch
from pipelines.training.options import Option, positive, weight
from pipelines.training.phases import Phase


class Method(method.Method):
    """Minimise cross entropy, on trusted labels for some epochs and then on given ones."""

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the passes over the trusted set, and the factor on the second step's rate."""
        return {"pretrain_epochs": weight(60), "second_rate": positive(1.0)}

    @classmethod
    def phases(cls, n_epochs: int, options: Mapping[str, float]) -> list[Phase]:
        """Add the passes over the trusted samples in front."""
        second = Phase(n_epochs, rate=options["second_rate"])
        if options["pretrain_epochs"] == 0:
            return [second]
        return [Phase(int(options["pretrain_epochs"]), part="trusted"), second]

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy."""
        logits = self.networks[0](batch.images)
        return self.mean(losses.cross_entropy(logits, batch.given_labels), batch)
