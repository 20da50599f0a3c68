"""Run the trials of a sweep under Ray Tune, several at once; what is done is not done again."""

import contextlib
import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from cluster.resources import Node, Wish, plan_pool
from pipelines.errors import TesseraError
from pipelines.sweeps.plan import Trial
from pipelines.sweeps.study_set import read_study_set
from pipelines.sweeps.trial import PREDICTIONS_FILE, RESULT_FILE, run_trial

#: What a trial that could not be done leaves in place of a result.
ERROR_FILE = "error.txt"
#: So many rounds may end with trials that broke off and none done before it is something else.
_MAX_FRUITLESS = 2

OnResult = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Room:
    """How many trials run side by side, and the cores and accelerators that each one takes."""

    n_at_once: int
    cpus: float = 1.0
    gpus: float = 0.0


def plan_room(nodes: Sequence[Node], wish: Wish) -> Room:
    """Find room for trials: shares of the accelerators if there are any, else cores.

    Parameters
    ----------
    nodes : sequence of Node
        What the cluster has.
    wish : Wish
        Most trials side by side, and what each is to have.
    """
    on_gpus = [node for node in nodes if node.gpus >= wish.gpu_share]
    if not on_gpus:
        pool = plan_pool(nodes, wish)
        return Room(pool.size, pool.num_cpus)
    pool = plan_pool(nodes, wish, gpus=wish.gpu_share)
    # Trials on accelerators are fed by the cores that are there.
    cpus = min(node.cpus // min(pool.size, node.gpus // wish.gpu_share) for node in on_gpus)
    return Room(pool.size, max(pool.num_cpus, cpus), pool.num_gpus)


def run_trials(
    study: Path,
    trials: Mapping[str, Trial],
    *,
    folder: Path,
    on_result: OnResult,
    room: Room,
    asha: bool = False,
) -> dict[str, str]:
    """Run trials on a connected Ray, each in a folder of its own under ``folder``.

    Parameters
    ----------
    study : Path
        Folder of the study set; all workers must see it, and ``folder``.
    trials : mapping
        Trials by their keys; those that have a result already are left out.
    folder : Path
        Where each trial's checkpoints and result go.
    on_result : callable
        Called in this process with key and result of every trial, earlier ones first.
    room : Room
        How many trials run side by side, and what each takes.
    asha : bool
        Stop trials that fall behind. Then budgets are not equal any more.

    Returns
    -------
    failures : dict
        Why, for the keys of trials that could not be done.
    """
    todo: dict[str, Trial] = {}
    for key, trial in trials.items():
        if (done := read_result(folder / key)) is not None:
            on_result(key, done)
        else:
            todo[key] = trial
            # What an earlier run refused may be possible now.
            (folder / key / ERROR_FILE).unlink(missing_ok=True)
    if not todo:
        return {}
    # It logs with a traceback what is done again here, or told as the reason of a failure.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # Tune would take Ctrl-C for a wish to end early with what there is.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    told = _Told(folder, on_result)
    left, n_fruitless = todo, 0
    while left and n_fruitless < _MAX_FRUITLESS:
        _run_round(study, left, folder=folder, told=told, room=room, asha=asha)
        broken = {key: left[key] for key in left if key not in told.ended}
        n_fruitless += len(broken) == len(left)
        left = broken
    failures = {}
    for key in todo:
        if key not in told.keys:
            path = folder / key / ERROR_FILE
            reason = path.read_text(encoding="utf-8") if path.exists() else told.reasons.get(key)
            failures[key] = reason or "its worker died"
    return failures


def _run_round(
    study: Path,
    trials: Mapping[str, Trial],
    *,
    folder: Path,
    told: "_Told",
    room: Room,
    asha: bool,
) -> None:
    """Run trials under Tune once; those whose worker died may end without a result.

    Tune brings a trial back itself, but not one that lost its worker just as it was begun.
    """
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(
                _run_one, trials=dict(trials), study=str(study), folder=str(folder)
            ),
            {"CPU": room.cpus, "GPU": room.gpus},
        ),
        param_space={"key": tune.grid_search(list(trials))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=room.n_at_once,
            reuse_actors=True,
            scheduler=_asha(trials.values()) if asha else None,
        ),
        run_config=tune.RunConfig(
            storage_path=str((folder / "tune").absolute()),
            verbose=0,
            callbacks=[told],
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )
    # Tune says on stdout what its settings are, whatever its verbosity.
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.fit()
    shutil.rmtree(folder / "tune", ignore_errors=True)


def read_result(folder: Path) -> dict[str, Any] | None:
    """Read a trial's result, or None where it has none, or its predictions are missing."""
    if not (folder / PREDICTIONS_FILE).exists():
        return None
    try:
        result: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return result


class _Told(tune.Callback):  # type: ignore[misc]
    """Hands on every result once, in the driver, as soon as it is there; says what broke off.

    Attributes
    ----------
    keys : set of str
        Trials whose result was handed on.
    ended : set of str
        Trials that came to their end, with a result or a refusal.
    reasons : dict
        Why, for trials that broke off.
    """

    def __init__(self, folder: Path, on_result: OnResult) -> None:
        self._folder, self._on_result = folder, on_result
        self.keys: set[str] = set()
        self.ended: set[str] = set()
        self.reasons: dict[str, str] = {}

    def on_trial_complete(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        key = trial.config["key"]
        self.ended.add(key)
        result = read_result(self._folder / key)
        if result is not None and key not in self.keys:
            self.keys.add(key)
            self._on_result(key, result)

    def on_trial_recover(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        self._break_off(trial)

    def on_trial_error(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        self._break_off(trial)

    def _break_off(self, trial: Any) -> None:
        lines = str(trial.get_error() or "").strip().splitlines()
        reason = f"its worker died: {lines[-1]}" if lines else "its worker died"
        self.reasons[trial.config["key"]] = reason
        sys.stderr.write("a trial broke off; its checkpoint is kept\n")


def _run_one(
    config: Mapping[str, Any], trials: Mapping[str, Trial], study: str, folder: str
) -> None:
    """Run one trial in a worker of Tune's."""
    # Trials run side by side: more threads than cores would only wait for each other.
    torch.set_num_threads(max(1, int(ray.get_runtime_context().get_assigned_resources()["CPU"])))
    key = config["key"]
    place = Path(folder) / key

    def report(points: Mapping[str, float]) -> None:
        tune.report(dict(points))

    try:
        run_trial(read_study_set(Path(study)), trials[key], place, report=report)
    except TesseraError as error:
        # A trial that cannot be is told, and the others go on.
        (place / ERROR_FILE).write_text(str(error), encoding="utf-8")
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _asha(trials: Any) -> ASHAScheduler:
    longest = max(trial.loop.n_epochs for trial in trials)
    return ASHAScheduler(metric="select_accuracy", mode="max", max_t=longest, grace_period=3)
