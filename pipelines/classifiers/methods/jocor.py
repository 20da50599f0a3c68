"""JoCoR: two networks that must agree, on the samples where they lose least together.

References
----------
Wei et al., "Combating noisy labels by agreement: a joint training method with co-regularization",
CVPR 2020.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from pipelines.classifiers.methods import co_teaching
from pipelines.training import losses
from pipelines.training.method import Batch
from pipelines.training.options import Option, share


def symmetric_divergence(one: Tensor, other: Tensor) -> Tensor:
    """Return ``KL(p || q) + KL(q || p)`` per sample, of logits (B, K)."""
    log_p, log_q = (F.log_softmax(logits.float(), dim=1) for logits in (one, other))
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)


class Method(co_teaching.Method):
    """Minimise ``(1 - l)(CE1 + CE2) + l * J``, J the symmetric divergence of both predictions."""

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return co-teaching's options and the weight of agreement."""
        others = dict(co_teaching.Method.known_options())
        del others["exchange"]
        return {**others, "agreement": share(0.7)}

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean of the joint loss over the samples where it is smallest."""
        one, other = (network(batch.images) for network in self.networks)
        apart = symmetric_divergence(one, other)
        labels = batch.given_labels
        sure = losses.cross_entropy(one, labels) + losses.cross_entropy(other, labels)
        weight = self.options["agreement"]
        joint = (1 - weight) * sure + weight * apart
        n_total = batch.n_total or len(batch.samples)
        chosen = self.smallest(joint, batch, max(1, int((1 - self._forget) * n_total)))
        self.mark_kept(batch, chosen)
        return self.mean(joint, batch, chosen)
