"""Work in a pool of actors goes on when nodes of the cluster are lost."""

import math
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import ray
from ray.data import Dataset
from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError

from cluster.resources import ActorPool

T = TypeVar("T")
#: Seconds between looks at what the cluster has.
LOOK_EVERY_S = 1.0
#: So many passes may end with a loss and nothing done before it is something else.
MAX_FRUITLESS = 5


class NodeLostError(Exception):
    """The cluster no longer has room for all actors of a pool that it had room for."""


#: How Ray says that a process or a node is gone.
LOSSES = (NodeLostError, RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError)


def survive_losses(
    start: Callable[..., Iterator[T]], *pools: ActorPool | None
) -> Generator[T, None, None]:
    """Yield what ``start(*pools)`` yields; start again when nodes are lost.

    Ray brings an actor back on another node only where that has room. In a pool that fills the
    cluster it would wait for room as long as the others work, with what it had been given.

    Parameters
    ----------
    start : callable
        Begins the work with pools that fit what there is, and leaves out what was yielded before.
    pools : ActorPool or None
        What the work would like to have.

    Raises
    ------
    Exception
        What Ray raises, if the same happens again and again and nothing gets done.
    """
    n_fruitless = 0
    while True:
        fitting = fit(pools)
        try:
            for item in start(*fitting):
                n_fruitless = 0
                yield item
            return
        except LOSSES as error:
            n_fruitless += 1
            if n_fruitless >= MAX_FRUITLESS:
                raise
            sys.stderr.write(
                f"workers were lost ({type(error).__name__}); what they had is done again\n"
            )


def fit(pools: tuple[ActorPool | None, ...]) -> list[ActorPool | None]:
    """Make pools smaller, all by the same share, where the cluster is too small for them.

    Each keeps an actor: on a cluster that grows by what is asked for, that is what asks.
    """
    share = min([1.0, *(has / needs for has, needs in _has_and_needs(pools) if needs)])
    if share == 1.0:
        return list(pools)
    return [pool and replace(pool, size=max(1, int(pool.size * share))) for pool in pools]


def watch(rows: Dataset, *pools: ActorPool | None) -> None:
    """Let a stream that uses these pools end with `NodeLostError` when they lose their room."""

    class Watch:
        """What Ray Data calls while it works; an error that is raised here ends the work."""

        def __init__(self) -> None:
            self._had_room = False
            self._looked = time.monotonic()

        def before_execution_starts(self, executor: Any) -> None:
            """Do nothing."""

        def on_execution_step(self, executor: Any) -> None:
            """Look from time to time whether the pools still have their room."""
            if time.monotonic() - self._looked < LOOK_EVERY_S:
                return
            self._looked = time.monotonic()
            has_room = all(has >= needs for has, needs in _has_and_needs(pools))
            if self._had_room and not has_room:
                raise NodeLostError("the cluster has become too small for all workers")
            self._had_room = has_room

        def after_execution_succeeds(self, executor: Any) -> None:
            """Do nothing."""

        def after_execution_fails(self, executor: Any, error: Exception) -> None:
            """Do nothing."""

    rows.context.custom_execution_callback_classes = [Watch]


def _has_and_needs(pools: tuple[ActorPool | None, ...]) -> list[tuple[float, float]]:
    """Return how much of each resource the cluster has, and the pools need."""
    has = ray.cluster_resources()
    present = [pool for pool in pools if pool is not None]
    # Shares of a processor may not add up exactly.
    return [
        (has.get("CPU", 0.0) + 1e-6, sum(pool.size * pool.num_cpus for pool in present)),
        (has.get("GPU", 0.0) + 1e-6, sum(pool.size * pool.num_gpus for pool in present)),
        (
            has.get("memory", math.inf),
            sum(pool.size * (pool.memory_bytes or 0) for pool in present),
        ),
    ]
