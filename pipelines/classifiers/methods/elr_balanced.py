"""ELR, balanced: memory of early beliefs, averaged weights, and predictions as varied as labels.

Our own. ELR alone goes furthest of all published methods here while it works, and where nearly
half of the labels are wrong it goes wrong with some seeds: a network that knows nothing yet
remembers one class for everything, and then believes its memory. Wrong labels hide which class a
particle has, but hardly how many there are of each: a term that compares the mean prediction of
a step with the given labels' shares keeps that way shut. Averaged weights, which predict in the
end, take away what is left of the noise. The preset ``elr-parts`` shows what each part does.
"""

from collections.abc import Mapping

from torch import Tensor

from pipelines.classifiers.methods import elr
from pipelines.training import losses
from pipelines.training.method import Batch


class Method(elr.Method):
    """Minimise ``CE + lambda * log(1 - <p, t>) + prior * KL(given shares || mean p)``."""

    average_decay = 0.99

    @staticmethod
    def default_options() -> Mapping[str, float]:
        """Return ELR's options and the weight of the balance."""
        return {**elr.Method.default_options(), "prior": 1.0}

    def loss(self, batch: Batch) -> Tensor:
        """Move the targets, then return the mean of the regularised loss and the balance."""
        logits = self.networks[0](batch.images)
        mean = self.mean_over_step(logits.float().softmax(dim=1), batch)
        balance = losses.prior_divergence(mean, self.given_shares())
        return self.regularised(logits, batch) + self.options["prior"] * balance
