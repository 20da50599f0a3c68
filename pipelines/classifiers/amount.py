"""How much a training is, said before it begins."""

from pipelines.classifiers.methods import method_type
from pipelines.classifiers.plan import TrainPlan
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import TRAIN


def count_epochs(plan: TrainPlan) -> int:
    """Count the passes of all phases."""
    phases = method_type(plan.method).phases(plan.loop.n_epochs, plan.method_options)
    return sum(phase.n_epochs for phase in phases)


def count_passes(plan: TrainPlan, n_epochs: int) -> float:
    """Count the images that go forth and back through a network in some epochs.

    A method that looks at images twice, or has two networks, has twice the work, or about that.
    """
    n_images = int(((plan.roles == TRAIN) & (plan.given_labels != UNKNOWN)).sum())
    kind = method_type(plan.method)
    per_image = kind.n_networks * (1 + kind.n_views) / 2 * (2 if plan.use_mirror_images else 1)
    return float(n_images * per_image * n_epochs)
