"""Forward correction: learn true classes through a matrix that explains the wrong labels.

References
----------
Patrini et al., "Making deep neural networks robust to label noise: a loss correction approach",
CVPR 2017.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.options import Option, error_rate, percentile, share
from pipelines.training.phases import Phase


def anchor_matrix(probs: Tensor, *, percentile: float) -> Tensor:
    """Estimate ``transition_matrix[true, given]`` from the surest sample of every class.

    Parameters
    ----------
    probs : (N, K) tensor
        What a network trained on given labels predicts: the given label's distribution.
    percentile : float
        Which sample counts as the surest of a class, 0 to 100: the very surest is often odd.
    """
    ranks = int(min(len(probs) - 1, percentile / 100 * len(probs)))
    anchors = probs.argsort(dim=0)[ranks]
    rows = probs[anchors]
    return rows / rows.sum(dim=1, keepdim=True)


class Method(method.Method):
    """Minimise ``-log (T^T p)_y``.

    With an ``error_rate`` of 0 or more, T is symmetric with that rate. With -1 it is estimated: a
    share of the epochs trains on given labels as they are, T is read off anchors, and the rest
    starts afresh.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        n, rate = self.n_classes, self.options["error_rate"]
        matrix = torch.eye(n)
        if rate >= 0:
            matrix = torch.full((n, n), rate / (n - 1)).fill_diagonal_(1 - rate)
        self._matrix = matrix.to(self.training_set.given_labels.device)

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the error rate (-1: estimated), how anchors are found, and the share for it."""
        return {
            "error_rate": error_rate(),
            "percentile": percentile(97),
            "estimate_share": share(0.4),
        }

    @classmethod
    def phases(cls, n_epochs: int, options: Mapping[str, float]) -> list[Phase]:
        """Divide the epochs between estimating T and learning with it."""
        if options["error_rate"] >= 0:
            return [Phase(n_epochs)]
        n_first = max(1, round(options["estimate_share"] * n_epochs))
        return [Phase(n_first), Phase(max(1, n_epochs - n_first), afresh=True)]

    def start_phase(self, number: int, predict_all: PredictAll) -> None:
        """Estimate T before the second phase."""
        if number == 1:
            probs = predict_all()[0].softmax(dim=1)
            self._matrix = anchor_matrix(probs, percentile=self.options["percentile"])

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean; with T still the identity it is cross entropy."""
        logits = self.networks[0](batch.images)
        each = losses.forward_cross_entropy(logits, batch.given_labels, self._matrix)
        return self.mean(each, batch)

    def common_state(self) -> dict[str, Tensor]:
        """Return T."""
        return {"matrix": self._matrix}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Take T back."""
        self._matrix = state["matrix"].to(self._matrix.device)
