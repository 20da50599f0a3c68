"""What a way of learning from imperfect labels must be able to do; the loop knows no more."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pipelines.training.losses import prior_divergence
from pipelines.training.options import Option
from pipelines.training.phases import Phase
from pipelines.training.team import Team

#: Logits of every network for every training sample, undisturbed: (n_networks, N, K).
PredictAll = Callable[[], Tensor]


@dataclass(frozen=True)
class Batch:
    """One worker's share of a step's samples.

    Attributes
    ----------
    views : tuple of (B, 1, H, W) tensor
        As many independently augmented views of each sample as the method asked for.
    given_labels : (B,) tensor of int
        Class indices, perhaps wrong; right where trusted.
    samples : (B,) tensor of int
        Which samples these are, 0 to N - 1: the index into whatever the method keeps per sample.
    places : (B,) tensor of int, optional
        The place of each in the step's samples of all workers; -1 marks a stand-in that must not
        count, for a worker whose share is empty. By default 0 to B - 1.
    n_total : int
        The step's samples of all workers; B by default.
    """

    views: tuple[Tensor, ...]
    given_labels: Tensor
    samples: Tensor
    places: Tensor | None = None
    n_total: int = 0

    @property
    def images(self) -> Tensor:
        """The first view."""
        return self.views[0]


@dataclass(frozen=True)
class TrainingSet:
    """What a method may know of all samples from the start.

    Attributes
    ----------
    given_labels : (N,) tensor of int
        Class indices, perhaps wrong; right where trusted.
    groups : (N,) tensor of int
        Samples of one particle share a group.
    trusted : (N,) tensor of bool
        Samples whose label is known to be right.
    n_classes : int
        Number of classes.
    mirrored_class : tuple of int
        Where the networks have the mirror built in, for each class the index of its mirror
        image's; empty where they have not.
    """

    given_labels: Tensor
    groups: Tensor
    trusted: Tensor
    n_classes: int
    mirrored_class: tuple[int, ...] = ()

    @cached_property
    def given_shares(self) -> Tensor:
        """The classes' shares among the given labels: (K,)."""
        counts = torch.bincount(self.given_labels, minlength=self.n_classes)
        return counts.float() / counts.sum()

    def __len__(self) -> int:
        return len(self.given_labels)


class Method(ABC):
    """A way of learning; each lives in one file of its own and overrides what differs.

    Attributes
    ----------
    n_networks : int
        How many networks it trains; they share architecture and batches, not their beginnings.
    n_views : int
        How many independently augmented views of each sample it wants.
    n_extra_outputs : int
        Outputs that it wants beyond the classes.
    average_decay : float
        Decay of the running mean of weights that it needs, 0 if none.
    kept : (N,) tensor of bool, or None
        Which samples it last trained on, where it chooses.

    Parameters
    ----------
    networks : sequence of Module
        The networks, ready to be called; on several workers they average gradients by themselves.
    training_set : TrainingSet
        Labels and groups of all samples.
    options : mapping
        The method's own numbers, from settings.
    averages : sequence of Module
        Running means of the networks' weights, where somebody asked for them.
    team : Team, optional
        This worker's place; alone by default.
    """

    n_networks = 1
    n_views = 1
    n_extra_outputs = 0
    average_decay = 0.0

    def __init__(
        self,
        networks: Sequence[nn.Module],
        training_set: TrainingSet,
        *,
        options: Mapping[str, float],
        averages: Sequence[nn.Module] = (),
        team: Team | None = None,
    ) -> None:
        self.networks = list(networks)
        self.averages = list(averages)
        self.training_set = training_set
        self.n_classes = training_set.n_classes
        self.options = self.complete_options(options)
        self.team = team or Team()
        self.kept: Tensor | None = None

    @classmethod
    def complete_options(cls, options: Mapping[str, float]) -> dict[str, float]:
        """Add the defaults of options that are not given.

        Raises
        ------
        ValueError
            Naming an option that the method does not have, or one that may not be what it is.
        """
        known = cls.known_options()
        if unknown := sorted(set(options) - set(known)):
            has = f"; it has {', '.join(known)}" if known else ""
            raise ValueError(f"method has no option {', '.join(unknown)}{has}")
        for name, value in options.items():
            known[name].check(name, value)
        return {**{name: option.default for name, option in known.items()}, **options}

    @staticmethod
    def known_options() -> Mapping[str, Option]:
        """Return the method's options: their defaults, and what they may be."""
        return {}

    @classmethod
    def phases(cls, n_epochs: int, options: Mapping[str, float]) -> list[Phase]:
        """Divide a budget of passes over the noisy samples into phases.

        Passes over trusted samples alone come on top: they are few.
        """
        return [Phase(n_epochs)]

    def start_phase(self, number: int, predict_all: PredictAll) -> None:
        """Prepare for a phase; the networks are still as the phase before left them."""

    def start_epoch(self, epoch: int, n_epochs: int, predict_all: PredictAll) -> None:
        """Prepare for an epoch, 0 to ``n_epochs - 1``; predictions are made only if asked for."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return what to minimise: the sum over networks of each one's mean loss.

        The networks share no parameters, so the gradient of the sum is each one's own.
        """

    def sample_state(self) -> dict[str, Tensor]:
        """Return what is kept per sample, as tensors whose first axis has N entries.

        They are written into checkpoints by the samples' keys, so they survive any reordering.
        On several workers each sample has one owner, in every epoch the same, and only the
        owner's entries count.
        """
        return {}

    def load_sample_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `sample_state` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps nothing per sample")

    def common_state(self) -> dict[str, Tensor]:
        """Return what else must survive an interruption; the same on every worker."""
        return {}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `common_state` gave."""

    def mean(self, losses: Tensor, batch: Batch, keep: Tensor | None = None) -> Tensor:
        """Average losses (B,) over the step's samples of all workers, or over those to keep.

        On several workers gradients are averaged after this, so a worker's share is weighed by
        how many workers there are: the step is the same as on one.
        """
        weights = self._counted(batch).to(losses.dtype)
        if keep is not None:
            weights = weights * keep.to(losses.dtype)
        total = self.team.add_up(weights.sum()).clamp(min=1)
        return (losses * weights).sum() * self.team.size / total

    def mean_over_step(self, values: Tensor, batch: Batch) -> Tensor:
        """Average the rows of values (B, K) over the step's samples of all workers: (K,).

        The gradient is that of this worker's share, weighed as in `mean`.
        """
        mine = (values * self._counted(batch).to(values.dtype)[:, None]).sum(dim=0)
        n = self.team.add_up(self._counted(batch).to(values.dtype).sum()).clamp(min=1)
        everyones = self.team.add_up(mine).detach()
        return (everyones + self.team.size * (mine - mine.detach())) / n

    def imbalance(self, probs: Tensor, batch: Batch) -> Tensor:
        """Return ``KL(given shares || mean p)`` of a step: large where a class is forgotten.

        The shares are those among all given labels, not equal ones: populations are one-sided.
        Errors between two classes even out how many there are of each, so where many labels are
        wrong the shares hold only for classes that errors leave as frequent as they are. Those
        that a mirror exchanges are, where mirror images are learnt from too. A network with the
        mirror built in answers for every mirror image by itself: each answer counts half for the
        class and half for its mirror image's, and one-sidedness costs nothing.

        Parameters
        ----------
        probs : (B, K) tensor
            Predicted probabilities of this worker's samples.
        batch : Batch
            The samples.
        """
        shares, mean = self.training_set.given_shares, self.mean_over_step(probs, batch)
        if mirrored := list(self.training_set.mirrored_class):
            shares, mean = ((x + x[mirrored]) / 2 for x in (shares, mean))
        return prior_divergence(mean, shares)

    def smallest(self, losses: Tensor, batch: Batch, n: int) -> Tensor:
        """Tell which samples (B,) are among the ``n`` with the smallest losses of all workers'."""
        everyones = self.spread(losses, batch)
        chosen = torch.zeros(len(everyones), dtype=torch.bool, device=losses.device)
        chosen[everyones.argsort(stable=True)[:n]] = True
        if batch.places is None:
            return chosen
        return chosen[batch.places.clamp(min=0)] & (batch.places >= 0)

    def spread(self, values: Tensor, batch: Batch) -> Tensor:
        """Gather values (B,) of all workers, in the order of the step's samples."""
        if batch.places is None:
            return values.detach()
        counted = batch.places >= 0
        gathered = values.new_zeros(batch.n_total)
        gathered[batch.places[counted]] = values.detach()[counted]
        return self.team.add_up(gathered)

    def mark_kept(self, batch: Batch, keep: Tensor) -> None:
        """Remember which samples were trained on."""
        if self.kept is None:
            self.kept = torch.zeros(len(self.training_set), dtype=torch.bool, device=keep.device)
        counted = self._counted(batch)
        self.kept[batch.samples[counted]] = keep[counted]

    @staticmethod
    def _counted(batch: Batch) -> Tensor:
        if batch.places is None:
            return torch.ones_like(batch.samples, dtype=torch.bool)
        return batch.places >= 0
