"""Training that begins from a model's weights instead of from random ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from pipelines.classifiers.networks import Ensemble
from pipelines.classifiers.plan import TrainPlan
from pipelines.errors import UnfitStartError
from pipelines.training.checkpoint import read_model


def check_start(config: Mapping[str, Any], plan: TrainPlan) -> None:
    """Check that training can begin from a model's weights.

    Parameters
    ----------
    config : mapping
        The model's description.
    plan : TrainPlan
        What would be trained.

    Raises
    ------
    UnfitStartError
        If its network or its classes are others: weights would mean something else.
    """
    for what, theirs, ours in [
        ("classes", list(config["classes"]), list(plan.classes)),
        ("network", dict(config["network"]), dict(plan.network)),
    ]:
        if theirs != ours:
            raise UnfitStartError(
                f"the model to begin from has other {what} than are to be trained: "
                f"{theirs} and not {ours}"
            )


def load_start(networks: Sequence[nn.Module], plan: TrainPlan) -> None:
    """Give networks the weights that the plan begins from; they keep theirs if there are none."""
    if plan.start is None:
        return
    weights, config = read_model(plan.start)
    check_start(config, plan)
    Ensemble(networks, len(plan.classes)).load_state_dict(weights)
