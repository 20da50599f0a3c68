"""What a training, and a cleaning by many of them, would do."""

from typing import TYPE_CHECKING, Any

from cluster.resources import Node, count_room, plan_team
from pipelines.archive import Archive
from services.planning.machines import looking_glass
from services.planning.rates import ASSUMED_GPU_CORES, Rate, train_rate
from services.planning.work import Work

if TYPE_CHECKING:
    from pipelines.classifiers.plan import TrainPlan
    from services.settings import TeamSettings
    from services.verbs.clean import Settings as CleanSettings
    from services.verbs.train import Settings as TrainSettings

#: Crops are read as floating-point numbers.
CROP_PIXEL_BYTES = 4


def plan_training_work(archive: Archive, settings: "TrainSettings", nodes: list[Node]) -> Work:
    """Plan a training.

    Raises
    ------
    LabelError, SettingsError, ModelError, NoRoomError
        If it could not be done.
    """
    from pipelines.classifiers.amount import count_epochs, count_passes
    from pipelines.ledger import DONE, read_entries
    from pipelines.training.checkpoint import n_epochs_done
    from services.verbs.train import model_key, plan_model

    with looking_glass(archive) as glass:
        planned = plan_model(archive, settings, models=glass)
    key = model_key(planned, settings)
    n_epochs = count_epochs(planned.plan)
    is_done = key in read_entries(archive, "train", status=DONE)
    n_done = n_epochs if is_done else n_epochs_done(archive.scratch / "train" / key)
    passes = count_passes(planned.plan, n_epochs - n_done)
    work = _work(archive, settings, planned.plan, nodes, passes)
    return Work(
        "train", "epochs", n_done, n_epochs - n_done, **work,
        remark="the model is registered" if is_done else "",
    )  # fmt: skip


def plan_cleaning_work(archive: Archive, settings: "CleanSettings", nodes: list[Node]) -> Work:
    """Plan a cleaning: the trainings of its folds.

    Raises
    ------
    LabelError, SettingsError, NoRoomError
        If it could not be done.
    """
    from pipelines.classifiers.amount import count_epochs, count_passes
    from services.cleaning.plan import plan_cleaning

    planned = plan_cleaning(archive, settings)
    folder = archive.scratch / "clean" / planned.key
    left = [fold for fold in planned.folds if not (folder / f"{fold.name}.npy").exists()]
    passes = sum(count_passes(fold.plan, count_epochs(fold.plan)) for fold in left)
    work = _work(archive, settings, planned.plan, nodes, passes)
    return Work("clean", "folds", len(planned.folds) - len(left), len(left), **work)


def _work(
    archive: Archive, settings: "TeamSettings", plan: "TrainPlan", nodes: list[Node], passes: float
) -> dict[str, Any]:
    """Return where so many passes are made, and how long they take."""
    n_workers = settings.train_workers
    if n_workers:
        on_gpus = plan_team(nodes, n_workers, settings.team_wish)
        where = f"{n_workers} worker{'s' if n_workers > 1 else ''} of 1 core"
        where += ", 1 GPU" if on_gpus else ""
    else:
        # A process of its own uses the accelerator of its machine, if it has one.
        on_gpus = not settings.address and count_room(nodes, 0.0, 1.0) > 0
        where = "this process" + (", 1 GPU" if on_gpus else "")
    n = max(1, n_workers)
    rate = on_device(train_rate(archive, plan), on_gpus)
    n_images = len(plan.particles) if passes else 0
    return {
        "where": where if passes else "nothing to do",
        "cores": float(n),
        "gpus": float(n if on_gpus else 0),
        "seconds": passes * rate.seconds / n,
        "rate": rate.source if passes else "",
        "read_bytes": n_images * plan.view.read_px**2 * CROP_PIXEL_BYTES,
    }


def on_device(rate: Rate, on_gpus: bool) -> Rate:
    """Turn what is assumed of a core into what is assumed of an accelerator."""
    if not on_gpus or not rate.is_assumed:
        return rate
    said = f"assumed {ASSUMED_GPU_CORES:g} cores per GPU"
    return Rate(rate.seconds / ASSUMED_GPU_CORES, said)
