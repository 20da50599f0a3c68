"""What a stage asks of the cluster: a fixed pool of actors, with bounded retries."""

from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy


@dataclass(frozen=True)
class ActorPool:
    """A fixed number of equal actors.

    Fixed because Ray Data's autoscaling can starve or never grow a pool.
    """

    size: int
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    memory_bytes: int | None = None

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments for ``Dataset.map_batches``."""
        options: dict[str, Any] = {
            "compute": ActorPoolStrategy(size=self.size),
            "num_cpus": self.num_cpus,
            **retry_options(),
        }
        if self.num_gpus:
            options["num_gpus"] = self.num_gpus
        if self.memory_bytes:
            options["memory"] = self.memory_bytes
        return options


def retry_options(*, max_restarts: int = 20, max_task_retries: int = 5) -> dict[str, int]:
    """Bound how often Ray brings back an actor whose process died.

    Without these Ray Data 2.60 restarts for ever. They travel as remote arguments, which Ray
    drops in 2.64; the attempt markers that stages write end a deadly unit of work without them.
    """
    return {"max_restarts": max_restarts, "max_task_retries": max_task_retries}


def n_workers(wanted: int | None) -> int:
    """Return how many one-core workers to use on the connected cluster."""
    cores = int(ray.cluster_resources().get("CPU", 1))
    return max(1, min(wanted, cores) if wanted else cores)
