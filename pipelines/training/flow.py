"""Run a training function under Ray Train: in this process, or on a team of workers."""

import logging
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import (
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    WorkerGroupError,
    get_context,
)
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.reservations import give_back, own_reservation
from cluster.resources import ANY_TEAM, TeamWish, connected_nodes, plan_team
from pipelines.errors import TesseraError
from pipelines.training.checkpoint import n_epochs_done
from pipelines.training.team import Team

#: How often a team whose worker died starts again from the same checkpoint.
_MAX_FAILURES = 2
#: What a worker notes that found a mistake: Ray begins again all the same, with nobody lost.
_REFUSED = "refused"

TrainFunction = Callable[[Any, Path, Team], None]


def run_training(
    function: TrainFunction,
    plan: Any,
    *,
    folder: Path,
    n_workers: int = 0,
    wish: TeamWish = ANY_TEAM,
    watch: Callable[[Path], None] | None = None,
    watch_every_s: float = 0.5,
) -> None:
    """Run ``function(plan, folder, team)`` on every worker.

    The function keeps its own checkpoints in ``folder`` and goes on from them: Ray's would come
    back to any later run of the same name. When workers are lost, a team of those that there is
    room for goes on, and it grows again when the cluster does. It may lose any number of workers,
    as long as it gains an epoch now and then: only a team that is lost three times over the same
    epoch is given up.

    Parameters
    ----------
    function : callable
        Importable on the workers.
    plan : object
        Pickled for workers in other processes.
    folder : Path
        Where the function's files go; all workers must see it.
    n_workers : int
        0 trains in this process, without a start of Ray; otherwise so many processes, which
        average their gradients, on a connected Ray.
    wish : TeamWish
        What each of those is to have, and how few of them may go on when others are lost.
    watch : callable, optional
        Called with ``folder`` now and then in this process, and once after the end.
    watch_every_s : float
        Seconds between calls.

    Raises
    ------
    NoRoomError
        If the cluster has too little for so many workers: Ray would wait for ever.
    """
    use_gpu = torch.cuda.is_available()
    room = folder.absolute() / "ray" / "reservations"
    if n_workers:
        use_gpu = plan_team(connected_nodes(), n_workers, wish)
        # A driver that was killed has left its own behind, and this one would wait for it.
        give_back(_read_lines(room))
        room.unlink(missing_ok=True)
    # The trainer's own setting comes too late for what it says while it is made.
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    starts = folder.absolute() / "ray" / f"{uuid.uuid4().hex[:8]}.starts"
    config = {
        "function": function,
        "plan": plan,
        "folder": str(folder),
        "starts": str(starts) if n_workers else None,
        "room": str(room),
    }
    scaling = ScalingConfig(
        num_workers=(wish.min_workers, n_workers) if n_workers > 1 else n_workers,
        use_gpu=use_gpu and n_workers > 0,
    )
    torch_config = TorchConfig(backend="nccl" if use_gpu else "gloo")
    watches = [watch] if watch else []
    if n_workers:
        watches.append(_TeamWatch(starts, n_workers))
    with _watching(folder, watches, watch_every_s), _interrupts_kept():
        while True:
            n_before = n_epochs_done(folder)
            try:
                _trainer(config, scaling, torch_config, folder).fit()
                return
            except WorkerGroupError as error:
                _raise_refusal(error)
                if n_epochs_done(folder) == n_before:
                    raise


def _trainer(
    config: dict[str, Any], scaling: ScalingConfig, torch_config: TorchConfig, folder: Path
) -> TorchTrainer:
    """Return what trains from the last checkpoint on."""
    return TorchTrainer(
        _train_as_worker,
        train_loop_config=config,
        torch_config=torch_config,
        scaling_config=scaling,
        run_config=RunConfig(
            # A name of its own for every run: to an old name Ray Train hands the old checkpoint.
            name=f"{folder.name}-{uuid.uuid4().hex[:8]}",
            storage_path=str(folder.absolute() / "ray"),
            logging_config=LoggingConfig(log_level="ERROR"),
            failure_config=FailureConfig(max_failures=_MAX_FAILURES if config["starts"] else 0),
        ),
    )


def _raise_refusal(error: WorkerGroupError) -> None:
    """Raise what a worker refused: it did so in one clear line, and that line is the message."""
    for failure in error.worker_failures.values():
        cause: BaseException | None = failure
        while cause is not None and not isinstance(cause, TesseraError):
            cause = cause.__cause__ or getattr(cause, "_base_exc", None)
        if cause is not None:
            raise cause from error


def _train_as_worker(config: dict[str, Any]) -> None:
    """Find this worker's place and train."""
    context = get_context()
    use_gpu = torch.cuda.is_available()
    device = ray.train.torch.get_device() if use_gpu else torch.device("cpu")
    team = Team(context.get_world_rank(), context.get_world_size(), device)
    starts = config["starts"] and Path(config["starts"])
    if starts and team.leads:
        _append(starts, str(team.size))
        if reservation := own_reservation():
            _append(Path(config["room"]), reservation)
    try:
        config["function"](config["plan"], Path(config["folder"]), team)
    except TesseraError:
        if starts:
            _append(starts, _REFUSED)
        raise


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Let an interrupt of the block be one, and those after it be what they were before.

    With workers, Ray Train handles the signal itself: it stops them, ends this program as if all
    were well, and never gives the signal back.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


class _TeamWatch:
    """Says when a team is not the one that was asked for, or begins in the place of another."""

    def __init__(self, starts: Path, n_workers: int) -> None:
        self._starts, self._n_workers = starts, n_workers
        self._n_seen = 0

    def __call__(self, folder: Path) -> None:
        """Look at the sizes of the teams that have begun."""
        sizes = _read_lines(self._starts)
        if _REFUSED in sizes:
            return
        for number, size in enumerate(sizes[self._n_seen :], start=self._n_seen):
            team = f"{size} of {self._n_workers} workers"
            if number:
                sys.stderr.write(
                    f"workers were lost or came back; {team} go on from the checkpoint\n"
                )
            elif int(size) < self._n_workers:
                sys.stderr.write(f"there is room for {team} yet\n")
        self._n_seen = len(sizes)


@contextmanager
def _watching(
    folder: Path, watches: Sequence[Callable[[Path], None]], every_s: float
) -> Iterator[None]:
    """Call ``watches`` from a thread while the block runs, and once after it."""
    if not watches:
        yield
        return
    done = threading.Event()

    def look() -> None:
        for watch in watches:
            watch(folder)

    def follow() -> None:
        while not done.wait(every_s):
            look()
        look()

    thread = threading.Thread(target=follow, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
