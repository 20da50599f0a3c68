"""Generalised cross entropy: between cross entropy and the mean absolute error.

References
----------
Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy
labels", NeurIPS 2018.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.options import Option, share


class Method(method.Method):
    """Minimise ``(1 - p_y^q) / q``; where truncated, leave out what is hopeless.

    With ``k`` above 0, samples whose given label has a probability of at most ``k`` are left out
    from ``prune_from`` of the epochs on; they are chosen anew every ``prune_every`` epochs.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._hopeful = torch.ones_like(self.training_set.given_labels, dtype=torch.bool)

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the exponent, and when and what to leave out (``k`` 0: nothing)."""
        return {
            "q": Option(0.7, "above 0 and at most 1", lambda q: 0 < q <= 1),
            "k": share(0.0),
            "prune_from": share(1 / 3),
            "prune_every": Option(10, "at least 1", lambda epochs: epochs >= 1),
        }

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Choose anew what to learn from."""
        first = round(self.options["prune_from"] * n_epochs)
        due = epoch >= first and (epoch - first) % int(self.options["prune_every"]) == 0
        if self.options["k"] > 0 and due:
            probs = predict_all()[0].softmax(dim=1)
            given = probs.gather(1, self.training_set.given_labels[:, None])[:, 0]
            hopeful = given > self.options["k"]
            # Where all is hopeless there is nothing better than all.
            self._hopeful = hopeful if hopeful.any() else torch.ones_like(hopeful)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over the samples that are not left out."""
        logits = self.networks[0](batch.images)
        each = losses.generalised_cross_entropy(logits, batch.given_labels, q=self.options["q"])
        if self.options["k"] == 0:
            return self.mean(each, batch)
        keep = self._hopeful[batch.samples]
        self.mark_kept(batch, keep)
        return self.mean(each, batch, keep)

    def sample_state(self) -> dict[str, Tensor]:
        """Return which samples are not left out."""
        return {"hopeful": self._hopeful.to(torch.uint8)}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self._hopeful = state["hopeful"].to(self.training_set.given_labels.device).bool()
