"""The training loop: any method, any networks, one epoch after another."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from pipelines.errors import ModelError
from pipelines.randomness import generator
from pipelines.training.method import Batch, Method, PredictAll
from pipelines.training.phases import Epoch, Phase

Optimiser = Literal["adamw", "adam", "sgd", "adadelta"]
Schedule = Literal["cosine", "late", "constant"]
#: Share of the steps before a late schedule begins to fall.
_LATE = 0.4


@dataclass(frozen=True)
class LoopSettings:
    """How long and how boldly to learn.

    Attributes
    ----------
    n_epochs : int
        Passes over the training samples, at most.
    batch_size : int
        Samples per step, over all workers.
    learning_rate : float
        Peak of the learning rate.
    warm_up : float
        Share of all steps over which the learning rate rises from 0; of "cosine" alone.
    weight_decay : float
        Decay of weights, not of biases and norms.
    clip_norm : float
        Largest norm of each network's gradient.
    patience_epochs : int
        Stop when the loss on the select set has not fallen for so many epochs; 0: never.
    optimiser : {"adamw", "adam", "sgd", "adadelta"}
        Which; sgd has a Nesterov momentum of 0.9.
    schedule : {"cosine", "late", "constant"}
        cosine rises, then falls to 0; late stays at the peak for two fifths of the steps, then
        falls in a straight line to 0, with the first beta of Adam at 0.1 meanwhile, as the
        authors of co-teaching do; constant stays.
    average_decay : float
        Decay of a running mean of the weights, which then predicts in their place; 0: none.
    """

    n_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    warm_up: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    patience_epochs: int = 0
    optimiser: Optimiser = "adamw"
    schedule: Schedule = "cosine"
    average_decay: float = 0.0


def make_optimiser(method: Method, settings: LoopSettings) -> torch.optim.Optimizer:
    """Make the optimiser over the parameters of every network of the method.

    One serves for several networks: none of the kinds mixes parameters.
    """
    parameters = [p for network in method.networks for p in network.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    match settings.optimiser:
        case "adam":
            return torch.optim.Adam(groups, lr=rate)
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
        case "adadelta":
            return torch.optim.Adadelta(groups, lr=rate)
    return torch.optim.AdamW(groups, lr=rate)


def learning_rate_at(step: int, n_steps: int, settings: LoopSettings) -> float:
    """Return the learning rate of a step, 0 to ``n_steps - 1``, of a phase."""
    peak = settings.learning_rate
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "late":
        return peak * min(1.0, (n_steps - step) / max(1.0, n_steps * (1 - _LATE)))
    n_rising = max(1, round(settings.warm_up * n_steps))
    if step < n_rising:
        return peak * (step + 1) / n_rising
    done = (step - n_rising) / max(1, n_steps - n_rising)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def train_epoch(
    method: Method,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    epoch: Epoch,
    n_steps: int,
    settings: LoopSettings,
    predict_all: PredictAll,
    seed: int,
    device: torch.device,
) -> float:
    """Train for one epoch and return the mean loss of its steps.

    Whatever is random in the networks (dropout) is drawn from ``seed`` and the epoch's number, so
    an epoch after a resumption is the same as without one.

    Parameters
    ----------
    method : Method
        What to minimise.
    optimiser : Optimizer
        From `make_optimiser`.
    batches : iterator of Batch
        Exactly ``n_steps`` batches.
    epoch : Epoch
        Which; its phase's schedule holds.
    n_steps : int
        Steps per epoch.
    settings : LoopSettings
        How to learn.
    predict_all : callable
        Handed to the method.
    seed : int
        Seed of the run.
    device : torch.device
        Where the networks are.

    Raises
    ------
    ModelError
        If the loss is not finite any more.
    """
    total = torch.zeros((), device=device)
    n_phase = epoch.phase.n_epochs * n_steps
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator(seed, "epoch", epoch.number).integers(2**63)))
        method.start_epoch(epoch.index, epoch.phase.n_epochs, predict_all)
        for network in method.networks:
            network.train()
        for number, batch in enumerate(batches):
            step = epoch.index * n_steps + number
            _set_rate(optimiser, step, n_phase, epoch.phase, settings)
            optimiser.zero_grad(set_to_none=True)
            with precision(device):
                loss = method.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            for network in method.networks:
                nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimiser.step()
            update_averages(method, step, settings)
            total += loss.detach()
    mean = float(method.team.add_up(total)) / n_steps / method.team.size
    if not math.isfinite(mean):
        raise ModelError(
            f"training came apart in epoch {epoch.number}: the loss is {mean}; learn slower"
        )
    return mean


def _set_rate(
    optimiser: torch.optim.Optimizer, step: int, n_steps: int, phase: Phase, settings: LoopSettings
) -> None:
    rate = phase.rate * learning_rate_at(step, n_steps, settings)
    for group in optimiser.param_groups:
        group["lr"] = rate
        if settings.schedule == "late" and "betas" in group:
            group["betas"] = (0.9 if step < _LATE * n_steps else 0.1, group["betas"][1])


@torch.no_grad()
def update_averages(method: Method, step: int, settings: LoopSettings) -> None:
    """Move the running means of the weights a little towards the weights."""
    if not method.averages:
        return
    decay = settings.average_decay or method.average_decay
    # The first weights say nothing: early means are over the last few steps alone.
    decay = min(decay, (1 + step) / (10 + step))
    for network, average in zip(method.networks, method.averages, strict=True):
        for mean, now in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
        for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)


def precision(device: torch.device) -> AbstractContextManager[object]:
    """Compute in bfloat16 where that is fast; on processors in full precision."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def should_stop(select_losses: list[float], settings: LoopSettings) -> bool:
    """Tell whether the loss on the select set has stopped falling for long enough.

    Examples
    --------
    >>> settings = LoopSettings(patience_epochs=2)
    >>> should_stop([0.5, 0.4, 0.6], settings), should_stop([0.5, 0.4, 0.6, 0.4], settings)
    (False, True)
    """
    if settings.patience_epochs == 0 or not select_losses:
        return False
    best = select_losses.index(min(select_losses))
    return len(select_losses) - 1 - best >= settings.patience_epochs
