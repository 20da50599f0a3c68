"""What a sweep would do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cluster.resources import Node
from pipelines.archive import Archive
from services.planning.learning import on_device
from services.planning.rates import Rate, assumed_pass
from services.planning.work import Work

if TYPE_CHECKING:
    from pipelines.sweeps.plan import Trial
    from services.verbs.sweep import Settings

Result = Mapping[str, Any]


def plan_work(archive: Archive, settings: "Settings", nodes: list[Node]) -> Work:
    """Plan a sweep, also on an archive that is not there yet.

    Raises
    ------
    SettingsError, NoRoomError
        If it could not be done.
    """
    from pipelines.sweeps.flow import plan_room
    from pipelines.sweeps.plan import plan_trials

    preset, plan = settings.planned
    trials = plan_trials(plan)
    past = _past(archive, trials)
    left = [trial for trial, result in zip(trials, past, strict=True) if result is None]
    room = plan_room(
        nodes, replace(settings.wish, workers=settings.trials_at_once or settings.workers)
    )
    rate = _rate(trials, past, preset.data.input_px, on_gpus=room.gpus > 0)
    at_once = max(1, min(room.n_at_once, len(left)))
    seconds = sum(_n_passes(trial) for trial in left) * rate.seconds / at_once
    missing = [m.name for m in preset.data.simulate if m.name not in archive.mosaic_names()]
    remark = f"{', '.join(missing)} would be simulated and segmented first" if missing else ""
    each = f"{room.cpus:g} core{'s' if room.cpus > 1 else ''}"
    each += f", {room.gpus:g} GPU" if room.gpus else ""
    return Work(
        "sweep",
        "trials",
        len(trials) - len(left),
        len(left),
        where=f"{at_once} at once of {each}" if left else "nothing to do",
        cores=at_once * room.cpus,
        gpus=at_once * room.gpus,
        seconds=seconds,
        rate=rate.source if left else "",
        remark=remark,
    )


def _past(archive: Archive, trials: Sequence["Trial"]) -> list[Result | None]:
    """Return the result of each trial that is done: of the study of which most are."""
    from pipelines.sweeps.flow import read_result
    from pipelines.sweeps.study_set import ABOUT_FILE, read_study_set

    best: list[Result | None] = [None] * len(trials)
    for about in (archive.scratch / "study").glob(f"*/{ABOUT_FILE}"):
        digest = read_study_set(about.parent).digest
        results = [read_result(archive.scratch / "sweeps" / t.key(digest)) for t in trials]
        if results.count(None) < best.count(None):
            best = list(results)
    return best


def _n_passes(trial: "Trial") -> float:
    """Count the images that go through a network, mirror images among them."""
    return trial.cost * trial.n_train * (1 if trial.network.antisymmetric else 2)


def _rate(
    trials: Sequence["Trial"], past: Sequence[Result | None], input_px: int, *, on_gpus: bool
) -> Rate:
    """Return the seconds of a trial for an image, by what the same kind of device took."""
    done = [
        (_n_passes(trial), float(result["seconds"]))
        for trial, result in zip(trials, past, strict=True)
        # Earlier versions did not say the device: those were processors.
        if result is not None and (result.get("device", "cpu") != "cpu") == on_gpus
    ]
    if done:
        n_passes, seconds = (sum(values) for values in zip(*done, strict=True))
        return Rate(seconds / n_passes, f"{len(done)} past trials")
    network = trials[0].network
    return on_device(assumed_pass(network.architecture, network.width, input_px), on_gpus)
