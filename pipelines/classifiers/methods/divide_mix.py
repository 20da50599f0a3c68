"""DivideMix: two networks divide the samples for each other, and learn half-supervised.

Where the authors go through labelled and unlabelled samples side by side, first for one network
and then for the other, both networks here step in one pass over all samples, and every step holds
whichever kinds it happens to hold.

References
----------
Li et al., "DivideMix: learning with noisy labels as semi-supervised learning", ICLR 2020.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.mixing import mixup
from pipelines.training.mixtures import gaussian_low_posterior
from pipelines.training.options import Option, positive, share, weight


class Method(method.Method):
    """Labels that the other network finds clean are refined, the others guessed; all are mixed."""

    n_networks = 2
    n_views = 2

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        labels = self.training_set.given_labels
        self._clean = torch.ones(len(labels), 2, device=labels.device)
        self._warm, self._ramp = True, 0.0

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the warm-up's share, the threshold, temperature, alpha, and weights."""
        return {
            "warm_up": share(0.25),
            "threshold": share(0.5),
            "temperature": positive(0.5),
            "alpha": positive(4.0),
            "unlabelled": weight(0.0),
            "prior": weight(1.0),
            "ramp_epochs": weight(16),
        }

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Let each network divide the samples for the other."""
        n_warm = max(1, round(self.options["warm_up"] * n_epochs))
        self._warm = epoch < n_warm
        self._ramp = min(1.0, (epoch - n_warm) / max(1.0, self.options["ramp_epochs"]))
        if self._warm:
            return
        for number, logits in enumerate(predict_all()):
            each = losses.cross_entropy(logits, self.training_set.given_labels)
            clean = gaussian_low_posterior(each.cpu().double().numpy())
            self._clean[:, 1 - number] = torch.from_numpy(clean).to(self._clean)

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both networks' losses."""
        if self._warm:
            warm = [
                losses.cross_entropy(network(batch.images), batch.given_labels)
                for network in self.networks
            ]
            return self.mean(warm[0], batch) + self.mean(warm[1], batch)
        with torch.no_grad():
            probs = torch.stack(
                [
                    torch.stack([network(v).float().softmax(dim=1) for v in batch.views]).mean(0)
                    for network in self.networks
                ]
            )
        total = torch.zeros((), device=probs.device)
        for number in range(len(self.networks)):
            total = total + self._learn(number, probs, batch)
        return total

    def _learn(self, number: int, probs: Tensor, batch: Batch) -> Tensor:
        """Return one network's loss on a step."""
        clean = self._clean[batch.samples, number][:, None]
        labelled = clean[:, 0] > self.options["threshold"]
        if number == 0:
            self.mark_kept(batch, labelled)
        hard = F.one_hot(batch.given_labels, self.n_classes).float()
        refined = self._sharpen(clean * hard + (1 - clean) * probs[number])
        guessed = self._sharpen(probs.mean(dim=0))
        targets = torch.where(labelled[:, None], refined, guessed)
        groups = self.training_set.groups[batch.samples]
        mixed = mixup(
            torch.cat(batch.views),
            torch.cat([targets] * len(batch.views)),
            alpha=self.options["alpha"],
            groups=torch.cat([groups] * len(batch.views)),
            mostly_own=True,
        )
        logits = self.networks[number](mixed.images)
        predicted = logits.float().softmax(dim=1)
        supervised = losses.soft_cross_entropy(logits, mixed.targets)
        guesswork = ((predicted - mixed.targets) ** 2).mean(dim=1)
        views = len(batch.views)
        imbalance = self.imbalance(predicted.view(views, -1, self.n_classes).mean(0), batch)
        supervised, guesswork = (x.view(views, -1).mean(dim=0) for x in (supervised, guesswork))
        weight = self.options["unlabelled"] * self._ramp
        return (
            self.mean(supervised, batch, labelled)
            + weight * self.mean(guesswork, batch, ~labelled)
            + self.options["prior"] * imbalance
        )

    def _sharpen(self, probs: Tensor) -> Tensor:
        powers = probs ** (1 / self.options["temperature"])
        return powers / powers.sum(dim=1, keepdim=True)

    def sample_state(self) -> dict[str, Tensor]:
        """Return how clean each network's samples are."""
        return {"clean": self._clean}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self._clean = state["clean"].to(self._clean.device)
