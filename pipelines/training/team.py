"""The workers that train one model together; alone by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """A worker's place among its fellows.

    Attributes
    ----------
    rank, size : int
        This worker, 0 to ``size - 1``, and how many there are.
    device : torch.device
        Where this worker computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this worker evaluates, decides and writes for all."""
        return self.rank == 0

    def join(self, network: nn.Module) -> nn.Module:
        """Return the network to train: where there are fellows, one that averages gradients."""
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        # Its buffers are constants; to send them round would make evaluation by one worker hang.
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)

    def owns(self, particle_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which samples are this worker's, in every epoch: by the particle's row."""
        owned: NDArray[np.bool_] = particle_rows % self.size == self.rank
        return owned

    def decide(self, decision: bool) -> bool:
        """Return the leader's decision, on every worker."""
        if self.size == 1:
            return decision
        told = torch.tensor([int(decision)], device=self.device)
        dist.broadcast(told, src=0)
        return bool(told.item())

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum of every worker's values; each must have the same shape."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, state: Mapping[str, Tensor], owned: NDArray[np.bool_]) -> dict[str, Tensor]:
        """Put together what each worker keeps for its own samples; first axes are samples."""
        if self.size == 1:
            return dict(state)
        gathered = {}
        for name, values in state.items():
            mine = torch.zeros_like(values)
            which = torch.from_numpy(owned).to(values.device)
            mine[which] = values[which]
            # Every entry has one owner, so the sum is that owner's value.
            dist.all_reduce(mine)
            gathered[name] = mine
        return gathered
