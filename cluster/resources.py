"""What a stage asks of the cluster: fixed pools of actors, with bounded retries, that fit it."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

MB = 10**6
#: Shares of a core or an accelerator may not add up exactly.
_ALMOST = 1e-6
#: So many actors hold where nobody has counted.
_MANY = 10**6


class NoRoomError(ValueError):
    """No node of the cluster is large enough for what is to run on it."""


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has for actors."""

    cpus: float
    gpus: float = 0.0
    memory_bytes: float = math.inf

    def __str__(self) -> str:
        return _describe(self.cpus, self.gpus, self.memory_bytes)


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
        from ray.data import ActorPoolStrategy

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


@dataclass(frozen=True)
class Wish:
    """What somebody wants of the cluster for actors; None: what there is room for, or needed.

    Attributes
    ----------
    workers : int or None
        Most actors.
    cores : float
        Cores of each.
    memory_bytes : int or None
        Memory of each.
    gpu_share : float
        Share of an accelerator of each that uses one.
    """

    workers: int | None = None
    cores: float = 1.0
    memory_bytes: int | None = None
    gpu_share: float = 1.0


@dataclass(frozen=True)
class TeamWish:
    """What somebody wants of the cluster for processes that train together.

    Attributes
    ----------
    min_workers : int
        So few may go on when others are lost.
    device : {"auto", "gpu", "cpu"}
        Whether each has an accelerator; auto: if there is one for each.
    """

    min_workers: int = 1
    device: Literal["auto", "gpu", "cpu"] = "auto"


#: Workers of any kind, down to the last one.
ANY_TEAM = TeamWish()


def plan_pool(
    nodes: Sequence[Node], wish: Wish, *, memory_bytes: int = 0, gpus: float = 0.0
) -> ActorPool:
    """Plan as many actors as are wanted and the cluster has room for.

    Parameters
    ----------
    nodes : sequence of Node
        What the cluster has. Where none has a core yet, one actor is planned: a cluster that
        grows by what is asked for is asked by it.
    wish : Wish
        What the caller wants.
    memory_bytes : int
        What an actor needs, unless the wish says otherwise; 0 if little.
    gpus : float
        Accelerators that each needs.

    Raises
    ------
    NoRoomError
        If no node has room for a single one.

    Examples
    --------
    >>> plan_pool([Node(2), Node(16)], Wish(cores=4)).size
    4
    """
    memory_bytes = wish.memory_bytes or memory_bytes
    room = count_room(nodes, wish.cores, gpus, memory_bytes)
    if any(node.cpus for node in nodes) and not room:
        largest = max(nodes, key=lambda node: (min(node.gpus, gpus), node.cpus, node.memory_bytes))
        raise NoRoomError(
            f"a worker needs {_describe(wish.cores, gpus, memory_bytes or math.inf)}; no node of "
            f"the cluster has that, the largest has {largest}"
        )
    room = max(room, 1)
    size = min(wish.workers, room) if wish.workers else room
    return ActorPool(size, wish.cores, gpus, memory_bytes or None)


def count_room(
    nodes: Sequence[Node], cpus: float, gpus: float = 0.0, memory_bytes: float = 0.0
) -> int:
    """Count the actors of a kind that the nodes hold; none lies on two of them.

    Examples
    --------
    >>> count_room([Node(16, memory_bytes=4e9), Node(2, memory_bytes=64e9)], 1, 0, 1e9)
    6
    """
    needs: list[tuple[float, Callable[[Node], float]]] = [
        (cpus, lambda node: node.cpus),
        (gpus, lambda node: node.gpus),
        (memory_bytes, lambda node: node.memory_bytes),
    ]
    limits = [(need, has) for need, has in needs if need]
    return sum(
        int(min((min(has(n), _MANY * need) + _ALMOST) // need for need, has in limits))
        for n in nodes
    )


def plan_team(nodes: Sequence[Node], n_workers: int, wish: TeamWish) -> bool:
    """Tell whether each of the processes that train together gets an accelerator.

    Raises
    ------
    NoRoomError
        If some would lack even a core, or the accelerator that was asked for: Ray would wait for
        ever.
    """
    if wish.min_workers > n_workers:
        raise NoRoomError(
            f"min_train_workers must be at most the {n_workers} of train_workers, got "
            f"{wish.min_workers}"
        )
    n_cores, n_gpus = count_room(nodes, 1.0), count_room(nodes, 0.0, 1.0)
    if n_workers > n_cores:
        raise NoRoomError(f"--train-workers must be at most the {n_cores} cores, got {n_workers}")
    if wish.device == "gpu" and n_workers > n_gpus:
        raise NoRoomError(
            f"--train-workers must be at most the {n_gpus} accelerators, got {n_workers}"
        )
    return wish.device != "cpu" and n_gpus >= n_workers


def connected_nodes() -> list[Node]:
    """Return what the cluster has that this process is connected to."""
    import ray

    return [
        Node(has.get("CPU", 0.0), has.get("GPU", 0.0), has.get("memory", math.inf))
        for node in ray.nodes()
        if node["Alive"] and (has := node["Resources"])
    ]


def this_machine(n_gpus: int = 0) -> list[Node]:
    """Return what a Ray that is started here would have, without starting it."""
    cores = float(os.cpu_count() or 1)
    with suppress(OSError, ValueError):
        quota, period = map(float, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        cores = min(cores, max(1.0, quota // period))
    # Ray keeps three tenths of what is free for its objects.
    return [Node(cores, n_gpus, 0.7 * psutil.virtual_memory().available)]


def retry_options(*, max_restarts: int = 20, max_task_retries: int = 5) -> dict[str, int]:
    """Bound how often Ray brings back an actor whose process died.

    Without these Ray Data 2.60 restarts for ever. They travel as remote arguments, which Ray
    drops in 2.64; the attempt markers that stages write end a deadly unit of work without them.
    """
    return {"max_restarts": max_restarts, "max_task_retries": max_task_retries}


def _describe(cpus: float, gpus: float, memory_bytes: float) -> str:
    """Say what is needed or had, in one breath."""
    parts = [f"{cpus:g} cores"] if cpus != 1 else ["1 core"]
    if gpus:
        parts.append(f"{gpus:g} GPU")
    if memory_bytes < math.inf:
        parts.append(f"{memory_bytes / MB:.0f} MB of memory")
    return ", ".join(parts)
