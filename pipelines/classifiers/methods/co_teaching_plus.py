"""Co-teaching+: the exchange of easy samples, among those that the networks disagree on.

References
----------
Yu et al., "How does disagreement help generalization against label corruption?", ICML 2019.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.classifiers.methods import co_teaching
from pipelines.training import losses
from pipelines.training.method import Batch, PredictAll
from pipelines.training.options import Option, share


class Method(co_teaching.Method):
    """After a warm-up, choose the samples of smallest loss where predicted classes differ.

    Where they do not differ anywhere in a step, the whole step is chosen from: with two classes
    disagreement soon runs out.
    """

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return co-teaching's options and the share of epochs before disagreement counts."""
        return {**co_teaching.Method.known_options(), "warm_up": share(0.1)}

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Set how much is dropped, and whether disagreement counts."""
        super().start_epoch(epoch, n_epochs, predict_all)
        self._by_disagreement = epoch >= self.options["warm_up"] * n_epochs

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both networks' means over what the other chose."""
        logits = [network(batch.images) for network in self.networks]
        each = [losses.cross_entropy(values, batch.given_labels) for values in logits]
        differ = logits[0].argmax(dim=1) != logits[1].argmax(dim=1)
        differ &= self._counted(batch)
        n_total = batch.n_total or len(batch.samples)
        n_differ = int(self.team.add_up(differ.sum()))
        if self._by_disagreement and n_differ > 0:
            n_total = n_differ
            ranked = [torch.where(differ, values, torch.inf) for values in each]
        else:
            ranked = each
        n_kept = max(1, int((1 - self._forget) * n_total))
        chosen = [self.smallest(values, batch, n_kept) for values in ranked]
        self.mark_kept(batch, chosen[0])
        if self.options["exchange"]:
            chosen.reverse()
        return self.mean(each[0], batch, chosen[0]) + self.mean(each[1], batch, chosen[1])
