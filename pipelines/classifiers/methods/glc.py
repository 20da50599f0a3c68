"""Gold loss correction: a few trusted labels show how the others go wrong.

References
----------
Hendrycks et al., "Using trusted data to train deep networks on labels corrupted by severe noise",
NeurIPS 2018.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.options import Option, share
from pipelines.training.phases import Phase


def trusted_matrix(probs: Tensor, true_labels: Tensor, *, n_classes: int) -> Tensor:
    """Estimate ``transition_matrix[true, given]`` by the mean prediction of every true class.

    Parameters
    ----------
    probs : (N, K) tensor
        What a network trained on given labels predicts of trusted samples.
    true_labels : (N,) tensor of int
        Their classes. A class without a sample is taken to be given right.
    n_classes : int
        K.
    """
    matrix = torch.eye(n_classes, device=probs.device, dtype=probs.dtype)
    for label in range(n_classes):
        if (true_labels == label).any():
            matrix[label] = probs[true_labels == label].mean(dim=0)
    return matrix


class Method(method.Method):
    """Estimate T on trusted samples by a network that saw none; then learn from both, afresh.

    Cross entropy on trusted samples, forward-corrected cross entropy on the others.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        device = self.training_set.given_labels.device
        self._matrix = torch.eye(self.n_classes, device=device)

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the share of the epochs for the first phase."""
        return {"estimate_share": share(0.4)}

    @classmethod
    def phases(cls, n_epochs: int, options: Mapping[str, float]) -> list[Phase]:
        """Divide the epochs between estimating T and learning with it."""
        n_first = max(1, round(options["estimate_share"] * n_epochs))
        return [Phase(n_first), Phase(max(1, n_epochs - n_first), part="both", afresh=True)]

    def start_phase(self, number: int, predict_all: PredictAll) -> None:
        """Estimate T before the second phase."""
        if number == 1:
            known = self.training_set
            probs = predict_all()[0].softmax(dim=1)[known.trusted]
            labels = known.given_labels[known.trusted]
            self._matrix = trusted_matrix(probs, labels, n_classes=self.n_classes)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over both kinds of samples."""
        logits = self.networks[0](batch.images)
        labels = batch.given_labels
        given = losses.forward_cross_entropy(logits, labels, self._matrix)
        plain = losses.cross_entropy(logits, labels)
        trusted = self.training_set.trusted[batch.samples]
        return self.mean(torch.where(trusted, plain, given), batch)

    def common_state(self) -> dict[str, Tensor]:
        """Return T."""
        return {"matrix": self._matrix}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Take T back."""
        self._matrix = state["matrix"].to(self._matrix.device)
