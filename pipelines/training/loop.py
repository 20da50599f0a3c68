"""The training loop: any method, any networks, one epoch after another."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pipelines.errors import ModelError
from pipelines.randomness import generator
from pipelines.training.method import Batch, Method, PredictAll


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
        Peak of the learning rate, reached after the warm-up and left along a cosine to 0.
    warm_up : float
        Share of all steps over which the learning rate rises from 0.
    weight_decay : float
        AdamW's decay of weights, not of biases and norms.
    clip_norm : float
        Largest norm of each network's gradient.
    patience_epochs : int
        Stop when the loss on the select set has not fallen for so many epochs; 0: never.
    """

    n_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    warm_up: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    patience_epochs: int = 0


def make_optimiser(method: Method, settings: LoopSettings) -> torch.optim.AdamW:
    """Make AdamW over the parameters of every network of the method."""
    parameters = [p for network in method.networks for p in network.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )


def learning_rate_at(step: int, n_steps: int, settings: LoopSettings) -> float:
    """Return the learning rate of a step, 0 to ``n_steps - 1``: a rise, then a cosine to 0."""
    n_rising = max(1, round(settings.warm_up * n_steps))
    if step < n_rising:
        return settings.learning_rate * (step + 1) / n_rising
    done = (step - n_rising) / max(1, n_steps - n_rising)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def train_epoch(
    method: Method,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    epoch: int,
    n_steps: int,
    settings: LoopSettings,
    predict_all: PredictAll,
    seed: int,
    device: torch.device,
) -> float:
    """Train for one epoch and return the mean loss of its steps.

    Whatever is random in the networks (dropout) is drawn from ``seed`` and ``epoch``, so an epoch
    after a resumption is the same as without one.

    Parameters
    ----------
    method : Method
        What to minimise.
    optimiser : Optimizer
        From `make_optimiser`.
    batches : iterator of Batch
        Exactly ``n_steps`` batches.
    epoch : int
        0 to ``settings.n_epochs - 1``.
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
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator(seed, "epoch", epoch).integers(2**63)))
        method.start_epoch(epoch, settings.n_epochs, predict_all)
        for network in method.networks:
            network.train()
        for number, batch in enumerate(batches):
            step = epoch * n_steps + number
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(step, settings.n_epochs * n_steps, settings)
            optimiser.zero_grad(set_to_none=True)
            with precision(device):
                loss = method.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            for network in method.networks:
                nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimiser.step()
            total += loss.detach()
    mean = float(total) / n_steps
    if not math.isfinite(mean):
        raise ModelError(f"training came apart in epoch {epoch}: the loss is {mean}; learn slower")
    return mean


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
