"""Peers: two networks that remember for each other, after a plain start.

Put together from what held up best here: ELR+'s exchange of memories between two networks, its
mixup, and averaged weights that both remember and predict. Two things differ. The first epochs
learn from unmixed images by plain cross entropy: mixed images of particles and mirror images
hide at first what tells hands apart, and the memory's pull then freezes networks that know
nothing yet. And averages forget faster, for budgets of some thousand steps.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pipelines.classifiers.methods import elr_plus
from pipelines.training import losses
from pipelines.training.method import Batch, PredictAll


class Method(elr_plus.Method):
    """Learn plainly, then as ELR+ does."""

    average_decay = 0.99

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._warm = True

    @staticmethod
    def default_options() -> Mapping[str, float]:
        """Return ELR+'s options and the share of epochs for the plain start."""
        return {**elr_plus.Method.default_options(), "warm_up": 0.2}

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """End the plain start in time."""
        self._warm = epoch < max(1, round(self.options["warm_up"] * n_epochs))

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both networks' losses."""
        if not self._warm:
            return super().loss(batch)
        each = [
            losses.cross_entropy(network(batch.images), batch.given_labels)
            for network in self.networks
        ]
        return self.mean(each[0], batch) + self.mean(each[1], batch)
