"""Room on a cluster that Ray keeps for a training, also when its driver has died.

A team of workers that may shrink and grow is given room by an actor of the cluster's own, and that
keeps the room of a driver that was killed for another three minutes, in which nothing works there.
Ray 2.60 has no public way to give it back, nor a setting for how long.
"""

from collections.abc import Iterable
from contextlib import suppress

import ray
from ray.exceptions import GetTimeoutError, RayError

#: What Ray calls the actor that keeps room.
_KEEPER = "AutoscalingCoordinator"
_PATIENCE_S = 5.0


def own_reservation() -> str | None:
    """Name the room that is kept for the training that this process is a worker of, if it is."""
    try:
        from ray.train.v2._internal.execution.context import get_train_context

        return f"train-{get_train_context().train_run_context.run_id}"
    except (ImportError, AttributeError, RuntimeError):
        # Another Ray may say it otherwise: training is not to fail for that.
        return None


def give_back(reservations: Iterable[str]) -> None:
    """Give the room of trainings back that are over, however they ended.

    Where that fails it is given back by itself, later.
    """
    # There is no such actor where no training was yet.
    with suppress(ValueError, AttributeError, RayError, GetTimeoutError):
        keeper = ray.get_actor(_KEEPER, namespace=_KEEPER)
        ray.get([keeper.cancel_request.remote(name) for name in reservations], timeout=_PATIENCE_S)
