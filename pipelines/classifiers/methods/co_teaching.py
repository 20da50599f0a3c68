"""Co-teaching: two networks, each learning from what the other finds easy.

References
----------
Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy labels",
NeurIPS 2018.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.noise_rate import estimate_error_rate
from pipelines.training.options import Option, error_rate, positive, share, switch, weight


def forget_rate(epoch: int, tau: float, *, n_rising: int, exponent: float = 1.0) -> float:
    """Return the share of a step that is dropped: a rise over ``n_rising`` epochs to its end.

    Examples
    --------
    >>> [round(forget_rate(t, 0.45, n_rising=10), 2) for t in (0, 1, 2, 9, 50)]
    [0.0, 0.05, 0.1, 0.45, 0.45]
    """
    end = float(tau**exponent)
    return end if n_rising < 2 else end * min(1.0, epoch / (n_rising - 1))


class Method(method.Method):
    """Exchange the samples of smallest loss, step by step."""

    n_networks = 2

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._forget = 0.0
        self._estimate = torch.zeros(())

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the error rate (-1: estimated), the epochs of the rise, exponent and exchange.

        ``exchange`` 0 lets each network learn from its own choice, to see what the other's is
        worth; ``margin`` is added to the error rate, for too much is safer than too little.
        """
        return {
            "error_rate": error_rate(),
            "rising_epochs": weight(10),
            "exponent": positive(1),
            "exchange": switch(1),
            "margin": share(0),
        }

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Set how much of every step is dropped."""
        n_rising = int(min(self.options["rising_epochs"], n_epochs))
        tau = self.options["error_rate"]
        if tau < 0:
            if 0 < epoch <= n_rising:
                self._estimate = estimate_error_rate(
                    predict_all().mean(dim=0), self.training_set.given_labels
                )
            tau = float(self._estimate)
        tau = min(tau + self.options["margin"], 0.9)
        self._forget = forget_rate(epoch, tau, n_rising=n_rising, exponent=self.options["exponent"])

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both networks' means over what the other chose."""
        each = [
            losses.cross_entropy(network(batch.images), batch.given_labels)
            for network in self.networks
        ]
        n_total = batch.n_total or len(batch.samples)
        n_kept = int((1 - self._forget) * n_total)
        chosen = [self.smallest(values, batch, max(1, n_kept)) for values in each]
        self.mark_kept(batch, chosen[0])
        if self.options["exchange"]:
            chosen.reverse()
        return self.mean(each[0], batch, chosen[0]) + self.mean(each[1], batch, chosen[1])

    def common_state(self) -> dict[str, Tensor]:
        """Return the estimate of the error rate."""
        return {"estimate": self._estimate}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self._estimate = state["estimate"]
