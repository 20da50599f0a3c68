"""Peers: two networks that explain each other's labels by how labels go wrong.

Each network learns from the posterior of the true class: what the other network believes of a
sample, averaged over epochs, times how likely its given label is under an estimated transition
matrix. The matrix is counted over the samples of which both are surest. Beliefs come from running
means of the weights, under augmentation, and of the other network, so that no network confirms
itself. Until beliefs mean something, a bounded loss learns from the labels as they are.

Put together from parts that are known to work: the exchange of co-teaching, the memory of
early-learning regularisation, the transition matrix of forward correction, averaged weights and
the generalised cross entropy.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll

#: No label is ruled out, and no belief is certain.
_LEAST = 1e-3


class Method(method.Method):
    """Learn from posteriors under the peer's beliefs."""

    n_networks = 2
    average_decay = 0.99

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        labels = self.training_set.given_labels
        k = self.n_classes
        self._beliefs = torch.full((len(labels), 2, k), 1 / k, device=labels.device)
        self._n_seen = torch.zeros(len(labels), device=labels.device)
        self._matrix = torch.eye(k, device=labels.device)
        self._warm = True

    @staticmethod
    def default_options() -> Mapping[str, float]:
        """Return the share of epochs with a bounded loss, its q, and the beliefs' decay.

        ``error_rate`` -1 estimates the transition matrix; otherwise it stays symmetric.
        ``sharpness`` is the power that posteriors are raised to: above 1 the networks hold on
        to what they believe, and do not creep back to the given labels.
        """
        return {"warm_up": 0.4, "q": 0.7, "decay": 0.7, "error_rate": -1, "sharpness": 2.0}

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """End the warm-up in time, and estimate the transition matrix anew."""
        self._warm = epoch < max(1, round(self.options["warm_up"] * n_epochs))
        if not self._warm:
            self._matrix = self._estimate()

    def _estimate(self) -> Tensor:
        """Return ``transition_matrix[true, given]`` from what both networks believe."""
        k, rate = self.n_classes, self.options["error_rate"]
        if rate >= 0:
            even = torch.full((k, k), rate / (k - 1), device=self._matrix.device)
            return even.fill_diagonal_(1 - rate).clamp(_LEAST, 1)
        given = torch.nn.functional.one_hot(self.training_set.given_labels, k).float()
        confidence, believed = self._beliefs.mean(dim=1).max(dim=1)
        matrix = torch.eye(k, device=given.device)
        for label in range(k):
            mine = believed == label
            if mine.any():
                # The surer half of a class: beliefs that waver say little of how labels go wrong.
                sure = mine & (confidence >= confidence[mine].median())
                counts = given[sure].sum(dim=0) + 1
                matrix[label] = counts / counts.sum()
        return matrix.clamp(_LEAST, 1)

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both networks' losses."""
        labels = batch.given_labels
        self._believe(batch)
        total = torch.zeros((), device=labels.device)
        for number, network in enumerate(self.networks):
            logits = network(batch.images)
            if self._warm:
                each = losses.generalised_cross_entropy(logits, labels, q=self.options["q"])
            else:
                posterior = self._posterior(1 - number, batch)
                each = losses.soft_cross_entropy(logits, posterior)
            total = total + self.mean(each, batch)
        return total

    def _posterior(self, number: int, batch: Batch) -> Tensor:
        """Return a network's posterior of the true class of a batch, given its labels."""
        beliefs = self._beliefs[batch.samples, number]
        posterior = beliefs * self._matrix[:, batch.given_labels].t()
        posterior = posterior ** self.options["sharpness"]
        return posterior / posterior.sum(dim=1, keepdim=True)

    def _believe(self, batch: Batch) -> None:
        """Move the beliefs of both networks towards what their averages say now."""
        counted = self._counted(batch)
        rows = batch.samples[counted]
        images = batch.images[counted]
        with torch.no_grad():
            now = torch.stack(
                [a.eval()(images).float().softmax(dim=1) for a in self.averages], dim=1
            ).clamp(_LEAST, 1 - _LEAST)
        # A plain mean at first, so that the start is forgotten.
        seen = self._n_seen[rows]
        share = torch.maximum(torch.full_like(seen, 1 - self.options["decay"]), 1 / (seen + 1))[
            :, None, None
        ]
        self._beliefs[rows] = (1 - share) * self._beliefs[rows] + share * now
        self._n_seen[rows] = seen + 1

    def sample_state(self) -> dict[str, Tensor]:
        """Return the beliefs."""
        return {"beliefs": self._beliefs, "n_seen": self._n_seen}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self._beliefs = state["beliefs"].to(self._matrix.device)
        self._n_seen = state["n_seen"].to(self._matrix.device)

    def common_state(self) -> dict[str, Tensor]:
        """Return the transition matrix."""
        return {"matrix": self._matrix}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self._matrix = state["matrix"].to(self._matrix.device)
