"""Deep abstaining classifier: leave out what cannot be learnt, then learn the rest afresh.

References
----------
Thulasidasan et al., "Combating label noise in deep learning using abstention", ICML 2019.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.training import losses, method
from pipelines.training.method import Batch, PredictAll
from pipelines.training.options import Option, share, weight
from pipelines.training.phases import Phase

#: The share of the running loss that the price of abstaining starts from, and its decay.
_START_SHARE, _DECAY = 1 / 64, 0.05


class Method(method.Method):
    """Train with a class of its own for abstaining; drop what was abstained from; train anew.

    The price of abstaining starts low and rises in a straight line to ``last_alpha``. With a
    ``set_point`` above 0 that share of the samples is dropped, those abstained from most; with 0
    those for which abstaining is likelier than every class.
    """

    n_extra_outputs = 1

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        labels = self.training_set.given_labels
        self._learnt = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
        self._running = torch.zeros((), device=labels.device)
        self._first = torch.zeros((), device=labels.device)
        self._alpha: float | None = None
        self._abstaining = False

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the share of epochs that abstain, and of those the warm-up, and the rest."""
        return {
            "abstain_share": share(0.5),
            "warm_up": share(0.3),
            "last_alpha": weight(1.0),
            "set_point": share(0.0),
        }

    @classmethod
    def phases(cls, n_epochs: int, options: Mapping[str, float]) -> list[Phase]:
        """Divide the epochs between abstaining and learning what is left."""
        n_first = max(1, round(options["abstain_share"] * n_epochs))
        return [Phase(n_first), Phase(max(1, n_epochs - n_first), afresh=True)]

    def start_phase(self, number: int, predict_all: PredictAll) -> None:
        """Drop what was abstained from before the second phase."""
        self._abstaining = number == 0
        if number == 1:
            probs = predict_all()[0].softmax(dim=1)
            dropped = probs.argmax(dim=1) == self.n_classes
            if self.options["set_point"] > 0:
                n_dropped = int(self.options["set_point"] * len(probs))
                dropped = torch.zeros_like(dropped)
                dropped[probs[:, -1].argsort(descending=True)[:n_dropped]] = True
            # Where all is dropped there is nothing better than all.
            self._learnt = torch.ones_like(dropped) if dropped.all() else ~dropped

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Set the price of abstaining, or none in the warm-up."""
        n_warm = max(1, round(self.options["warm_up"] * n_epochs))
        self._alpha = None
        if self._abstaining and epoch >= n_warm:
            if epoch == n_warm:
                self._first = self._running * _START_SHARE
            done = (epoch - n_warm) / max(1, n_epochs - 1 - n_warm)
            last = self.options["last_alpha"]
            self._alpha = float(self._first + done * (last - self._first))

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss, with abstention in the first phase after its warm-up."""
        logits = self.networks[0](batch.images)
        plain = losses.cross_entropy(logits[:, :-1], batch.given_labels)
        if not self._abstaining:
            keep = self._learnt[batch.samples]
            self.mark_kept(batch, keep)
            return self.mean(plain, batch, keep)
        answered = 1 - logits.detach().float().softmax(dim=1)[:, -1]
        now = self.mean(plain.detach() * answered, batch) / self.team.size
        self._running = torch.lerp(self._running, self.team.add_up(now), _DECAY)
        if self._alpha is None:
            return self.mean(losses.cross_entropy(logits, batch.given_labels), batch)
        each = losses.abstention_loss(logits, batch.given_labels, alpha=self._alpha)
        return self.mean(each, batch)

    def sample_state(self) -> dict[str, Tensor]:
        """Return which samples are not dropped."""
        return {"learnt": self._learnt.to(torch.uint8)}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self._learnt = state["learnt"].to(self._learnt.device).bool()

    def common_state(self) -> dict[str, Tensor]:
        """Return the running loss, the first price, and the phase."""
        abstaining = torch.tensor(int(self._abstaining))
        return {"running": self._running, "first": self._first, "abstaining": abstaining}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        device = self._learnt.device
        self._running, self._first = state["running"].to(device), state["first"].to(device)
        self._abstaining = bool(state["abstaining"])
