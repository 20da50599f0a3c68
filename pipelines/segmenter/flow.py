"""Fit a segmenter under Ray Train: in this process, or on a team of workers."""

from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.resources import ANY_TEAM, TeamWish
from pipelines.segmenter.files import read_history, read_result
from pipelines.segmenter.fit import fit_on_team
from pipelines.segmenter.plan import FitPlan
from pipelines.segmenter.result import FitResult
from pipelines.training.flow import run_training


def fit_segmenter(
    plan: FitPlan,
    folder: Path,
    *,
    n_workers: int = 0,
    wish: TeamWish = ANY_TEAM,
    report: Callable[[Mapping[str, float]], None] | None = None,
) -> FitResult:
    """Fit as planned, going on from what ``folder`` holds of the same plan.

    Parameters
    ----------
    plan : FitPlan
        What decides the result.
    folder : Path
        Where checkpoints and the model go; all workers must see it.
    n_workers : int
        0 fits in this process; otherwise so many processes on a connected Ray, which average
        their gradients.
    wish : TeamWish
        What each of those is to have.
    report : callable, optional
        Called in this process with the figures of every epoch that ends.

    Raises
    ------
    SettingsError
        If the sources cannot be learned from: no object, an image and masks of different shape.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_said = len(read_history(folder, plan))

    def watch(folder: Path) -> None:
        nonlocal n_said
        history = read_history(folder, plan)
        for entry in history[n_said:]:
            if report is not None:
                report(entry)
        n_said = max(n_said, len(history))

    run_training(fit_on_team, plan, folder=folder, n_workers=n_workers, wish=wish, watch=watch)
    return read_result(folder)
