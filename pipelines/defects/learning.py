"""How the small networks of detectors learn: some steps, one seed, the same weights each time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.defects.model import DefectModel, Watch
from pipelines.defects.patches import Floats, normalise
from pipelines.errors import ModelError

#: Patches that a network sees at once when it scores.
BATCH_N = 64


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from a seed for the length of the block."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def train(
    network: nn.Module,
    loss_of: Callable[[int], Tensor],
    *,
    n_steps: int,
    optimiser: torch.optim.Optimizer,
    watch: Watch | None = None,
) -> None:
    """Take steps down a loss.

    Parameters
    ----------
    network : torch.nn.Module
        Left in eval mode.
    loss_of : callable
        Takes the number of the step, returns the loss.
    n_steps : int
        Steps.
    optimiser : torch.optim.Optimizer
        Of the network's parameters.
    watch : callable, optional
        Told how many steps are done, and of how many.
    """
    network.train()
    for step in range(n_steps):
        optimiser.zero_grad(set_to_none=True)
        loss_of(step).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if watch is not None:
            watch(step + 1, n_steps)
    network.eval()


def to_tensor(pixels: Floats) -> Tensor:
    """Normalise patches (N, S, S) and make them (N, 1, S, S)."""
    return torch.from_numpy(normalise(pixels))[:, None]


def in_batches(
    pixels: Floats, work: Callable[[Tensor], Tensor], *, prepare: Callable[[Floats], Tensor]
) -> NDArray[np.float64]:
    """Apply a network to patches, some at a time."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH_N):
            parts.append(work(prepare(pixels[start : start + BATCH_N])).numpy())
    return np.concatenate(parts).astype(np.float64)


def to_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Take a network's weights out as arrays."""
    return {f"net.{k}": v.detach().cpu().numpy() for k, v in network.state_dict().items()}


def load_arrays(network: nn.Module, model: DefectModel) -> nn.Module:
    """Put a model's weights into a network.

    Raises
    ------
    ModelError
        If they do not fit it.
    """
    weights: Mapping[str, Tensor] = {
        name.removeprefix("net."): torch.from_numpy(np.array(value))
        for name, value in model.arrays.items()
        if name.startswith("net.")
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{model.method}: weights do not fit the network: {error}") from error
    return network.eval()
