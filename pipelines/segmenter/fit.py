"""Fit a segmenter on a team of workers, from where its checkpoint stands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.errors import ModelError, SettingsError
from pipelines.randomness import generator
from pipelines.segmentation.learned.images import Segmenter
from pipelines.segmentation.learned.model_folder import read_model_folder, write_model_folder
from pipelines.segmentation.learned.network import build_network, describe_network
from pipelines.segmentation.learned.predictor import FieldPredictor
from pipelines.segmenter.early_learning import correct_masks, should_correct
from pipelines.segmenter.examples import Patches, data_digest, read_examples
from pipelines.segmenter.files import (
    MODEL_FOLDER,
    History,
    checkpoint_folder,
    forget_other_data,
    write_result,
)
from pipelines.segmenter.losses import field_loss
from pipelines.segmenter.plan import FitPlan
from pipelines.segmenter.scores import score_pairs
from pipelines.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pipelines.training.loop import LoopSettings, learning_rate_at, precision
from pipelines.training.team import Team

Corrections = Mapping[int, tuple[NDArray[np.int32], NDArray[np.float32]]]


def fit_on_team(plan: FitPlan, folder: Path, team: Team) -> None:
    """Fit as planned; the leader writes the model and the result into ``folder``.

    Raises
    ------
    SettingsError
        If the sources cannot be learned from.
    ModelError
        If the loss is not finite any more.
    """
    if plan.batch_size < team.size:
        raise SettingsError(
            f"batch_size must be at least the {team.size} workers, got {plan.batch_size}"
        )
    data = data_digest(plan)
    if team.leads:
        forget_other_data(checkpoint_folder(folder, plan), data)
    # Nobody looks for a checkpoint before the leader has looked at it.
    team.decide(True)
    fit = _Fit(plan, folder, team, data)
    while len(fit.history) < plan.n_epochs:
        fit.advance()
    if team.leads:
        fit.finish()


def split_held_out(plan: FitPlan) -> frozenset[str]:
    """Choose the groups of hand-drawn sources that are kept back to measure with.

    Raises
    ------
    SettingsError
        If none would be left to learn from.
    """
    groups = sorted({s.group for s in plan.sources if s.kind == "truth"})
    if plan.held_out_share == 0 or not groups:
        return frozenset()
    n = max(1, round(plan.held_out_share * len(groups)))
    if n >= len({s.group for s in plan.sources}):
        raise SettingsError(
            f"held_out_share must leave a group to learn from, got {plan.held_out_share} "
            f"of {len(groups)}"
        )
    chosen = generator(plan.seed, "held out").permutation(len(groups))[:n]
    return frozenset(groups[i] for i in chosen.tolist())


@dataclass
class _Fit:
    """A fit under way on one worker."""

    plan: FitPlan
    folder: Path
    team: Team
    data: str
    history: History = field(default_factory=list)

    def __post_init__(self) -> None:
        examples = read_examples(self.plan)
        held_out = split_held_out(self.plan)
        self.held_out = [
            e for e in examples if e.source.kind == "truth" and e.source.group in held_out
        ]
        self.examples = [e for e in examples if e.source.group not in held_out]
        if not any(e.instances.any() for e in self.examples):
            raise SettingsError("sources must hold at least one object to learn from, got none")
        self.patches = Patches(self.examples, self.plan)
        self.weak = [i for i, e in enumerate(self.examples) if e.source.kind == "weak"]
        self.loop = LoopSettings(
            learning_rate=self.plan.learning_rate, weight_decay=self.plan.weight_decay
        )
        self.network = _first_network(self.plan)
        self.network.to(self.team.device).to(memory_format=torch.channels_last)
        self.trained = self.team.join(self.network)
        self.optimiser = _optimiser(self.network, self.plan)
        self._fields: list[tuple[NDArray[Any], NDArray[Any]]] | None = None
        self._resume()

    @property
    def corrects(self) -> bool:
        """Whether weak masks are corrected from here on."""
        return bool(self.history and self.history[-1].get("correcting"))

    def advance(self) -> None:
        """Train for one epoch, measure, and write it down."""
        if self.corrects:
            self.patches.correct(self._corrections())
        number = len(self.history)
        loss = self._train(number)
        entry: dict[str, float] = {"epoch": number + 1, "loss": loss}
        entry["rate"] = self.optimiser.param_groups[0]["lr"]
        if self.weak and self.plan.correct_early:
            entry |= self._measure_agreement()
        self.history.append(entry)
        if self.team.leads:
            write_checkpoint(checkpoint_folder(self.folder, self.plan), self._checkpoint())

    def finish(self) -> None:
        """Write the model and what is to be said of it."""
        plan = self.plan
        metrics = {"loss": self.history[-1]["loss"]}
        corrected = [entry["epoch"] for entry in self.history if entry.get("correcting")]
        if corrected:
            metrics["correction_epoch"] = corrected[0]
        if self.held_out:
            metrics |= self._score_held_out()
        digests = {"plan": plan.digest, "data": self.data}
        widths = [e.original_width_px for e in self.examples]
        sizes = [e.source.pixel_size_nm for e in self.examples]
        known = [size for size in sizes if size is not None]
        card = {
            "network": _network_of(plan),
            "object_px": plan.object_px,
            "polarity_free": plan.polarity_free,
            "widths_px": [min(widths), max(widths)],
            "pixel_sizes_nm": [min(known), max(known)] if len(known) == len(sizes) else None,
            "n_images": {
                kind: sum(e.source.kind == kind for e in self.examples) for kind in plan.shares
            },
            "digests": digests,
            "metrics": metrics,
        }
        digests["weights"] = write_model_folder(self.folder / MODEL_FOLDER, self.network, card)
        result = {"history": self.history, "metrics": metrics, "digests": digests}
        write_result(self.folder, result)

    def _train(self, number: int) -> float:
        plan, device = self.plan, self.team.device
        n_steps = plan.n_epochs * plan.steps_per_epoch
        places = range(self.team.rank, plan.batch_size, self.team.size)
        self.trained.train()
        total = torch.zeros((), device=device)
        for step in range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate_at(step, n_steps, self.loop)
            grey, targets, weights = (part.to(device) for part in self.patches.batch(step, places))
            with precision(device):
                fields = self.trained(grey.contiguous(memory_format=torch.channels_last))
            loss = field_loss(fields.float(), targets, weights)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), self.loop.clip_norm)
            self.optimiser.step()
            total += loss.detach()
        mean = float(self.team.add_up(total)) / plan.steps_per_epoch / self.team.size
        if not math.isfinite(mean):
            raise ModelError(
                f"training came apart in epoch {number + 1}: the loss is {mean}; learn slower"
            )
        self._fields = None
        return mean

    def _predict_weak(self) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Return foreground and instances that the network finds in every weak source."""
        if self._fields is None:
            segmenter = self._segmenter()
            self._fields = [
                segmenter.look(self.examples[i].grey, self.examples[i].width_px) for i in self.weak
            ]
        return self._fields

    def _measure_agreement(self) -> dict[str, float]:
        """Compare with the weak masks as they were given, never as corrected."""
        both = either = 0
        for index, (foreground, _) in zip(self.weak, self._predict_weak(), strict=True):
            found, given = foreground > 0.5, self.examples[index].instances > 0
            both += int((found & given).sum())
            either += int((found | given).sum())
        agreement = both / max(either, 1)
        past = [entry["weak_agreement"] for entry in self.history]
        begins = self.corrects or should_correct([*past, agreement], self.plan.n_epochs)
        return {"weak_agreement": agreement, "correcting": float(self.team.decide(begins))}

    def _corrections(self) -> Corrections:
        return {
            index: correct_masks(
                self.examples[index].instances, self.examples[index].confidence, foreground, found
            )
            for index, (foreground, found) in zip(self.weak, self._predict_weak(), strict=True)
        }

    def _segmenter(self) -> Segmenter:
        predict = FieldPredictor(self.network, self.team.device)
        return Segmenter(predict, self.plan.object_px)

    def _score_held_out(self) -> dict[str, float]:
        segmenter = self._segmenter()
        pairs = [(e.instances, segmenter.look(e.grey, e.width_px)[1]) for e in self.held_out]
        scores = score_pairs(pairs)
        return {
            "f1_50": scores.f1_50,
            "f1_75": scores.f1_75,
            "pq": scores.pq,
            "f1_50_median": scores.f1_50_median,
        }

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            n_epochs_done=len(self.history),
            weights=self.network.state_dict(),
            best_weights={},
            optimiser=self.optimiser.state_dict(),
            sample_keys=np.empty(0, dtype=np.int64),
            sample_state={},
            common_state={},
            history=self.history,
        )

    def _resume(self) -> None:
        checkpoint = read_checkpoint(checkpoint_folder(self.folder, self.plan))
        if checkpoint is None:
            return
        self.network.load_state_dict(checkpoint.weights)
        self.optimiser.load_state_dict(dict(checkpoint.optimiser))
        self.history = checkpoint.history


def _first_network(plan: FitPlan) -> nn.Module:
    if plan.start is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator(plan.seed, "weights").integers(2**63)))
            return build_network(_network_of(plan))
    network, card = read_model_folder(plan.start)
    wanted = _network_of(plan)
    if dict(card.network) != wanted or card.object_px != plan.object_px:
        raise SettingsError(
            f"start must be a {plan.width} model of objects {plan.object_px:g} px wide, {wanted}, "
            f"got {dict(card.network)} and {card.object_px:g} px"
        )
    return network


def _network_of(plan: FitPlan) -> dict[str, Any]:
    return describe_network(plan.width, local_contrast=plan.local_contrast)


def _optimiser(network: nn.Module, plan: FitPlan) -> torch.optim.Optimizer:
    parameters: Sequence[nn.Parameter] = list(network.parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=plan.learning_rate,
    )
