"""ELR, balanced: memory of what averaged weights believed, and predictions as varied as labels.

Our own. ELR alone goes far while it works, and where nearly half of the labels are wrong it goes
wrong with some seeds: a network that knows nothing yet remembers one class for everything, and
then believes its memory. Three things keep that way shut. The memory comes from averaged weights,
which swing less than the network does, as in ELR+; it pulls little at first, and more as there is
more to remember; and the mean prediction of a step is compared with the given labels' shares, for
wrong labels hide which class a particle has, but not how many there are of each where errors go
both ways alike, as between mirror images. One network and no mixup: half the work of ELR+. The
preset ``elr-parts`` shows what each part does.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.classifiers.methods import elr
from pipelines.training import losses
from pipelines.training.method import Batch, PredictAll
from pipelines.training.options import Option, share, weight


class Method(elr.Method):
    """Minimise ``CE + r lambda * log(1 - <p, t>) + prior * KL(given shares || mean p)``.

    The ramp r rises from 0 to 1 over the first ``rising`` share of the epochs.
    """

    average_decay = 0.99
    _ramp = 1.0

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return ELR's options, the share of epochs that the pull grows, the balance's weight."""
        return {**elr.Method.known_options(), "rising": share(0.5), "prior": weight(1.0)}

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Let the memory pull more than in the epoch before."""
        self._ramp = min(1.0, (epoch + 1) / max(1.0, self.options["rising"] * n_epochs))

    def loss(self, batch: Batch) -> Tensor:
        """Move the targets, then return the mean of the regularised loss and the balance."""
        logits = self.networks[0](batch.images)
        with torch.no_grad():
            calmer = self.averages[0].eval()(batch.images)
        targets = self.moved(calmer, batch)
        each = losses.cross_entropy(logits, batch.given_labels)
        each = each + self._ramp * self.options["lambda"] * losses.elr_penalty(logits, targets)
        imbalance = self.imbalance(logits.float().softmax(dim=1), batch)
        return self.mean(each, batch) + self.options["prior"] * imbalance
