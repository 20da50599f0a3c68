"""Train the folds of a cross-validation one after another, and keep what each of them says."""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.resources import ANY_TEAM, TeamWish
from pipelines.classifiers.flow import predict_here, train_classifier
from pipelines.classifiers.folds import Fold, calibrate, pick_particles
from pipelines.classifiers.model import load_classifier
from pipelines.training.checkpoint import n_epochs_done
from services.progress import Progress, note

Floats = NDArray[np.float64]


def predict_out_of_sample(
    folds: Sequence[Fold], *, folder: Path, n_workers: int = 0, wish: TeamWish = ANY_TEAM
) -> Floats:
    """Predict every particle by networks that were not trained on it.

    Parameters
    ----------
    folds : sequence of Fold
        The trainings.
    folder : Path
        Where finished folds are kept: a fold that is there is not done again, and one that was
        interrupted goes on after its last epoch.
    n_workers : int
        Processes that train together; 0: this one alone.
    wish : TeamWish
        What each of them is to have.

    Returns
    -------
    pred_probs : (N, K) ndarray
        Calibrated on the given labels of each fold's held-out particles; the mean over repeats.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = folds[0].plan
    n_repeats = 1 + max(fold.repeat for fold in folds)
    probs = np.zeros((n_repeats, len(plan.particles), len(plan.classes)))
    watch = _FoldWatch(len(folds), plan.loop.n_epochs)
    for fold in folds:
        kept = folder / f"{fold.name}.npy"
        if kept.exists():
            watch.skip()
        else:
            watch.begin(folder / fold.name)
            train = partial(train_classifier, n_workers=n_workers, wish=wish, watch=watch)
            found = _train_and_predict(fold, folder / fold.name, train)
            _keep(kept, found)
            shutil.rmtree(folder / fold.name, ignore_errors=True)
            watch.end()
        probs[fold.repeat, fold.held_out] = np.load(kept, allow_pickle=False)
    mean: Floats = probs.mean(axis=0)
    return mean


def _train_and_predict(fold: Fold, folder: Path, train: Callable[..., Path]) -> Floats:
    """Return calibrated probabilities of a fold's held-out particles."""
    model = train(fold.plan, folder=folder)
    held_out = pick_particles(fold.plan, fold.held_out)
    probs = np.empty((len(fold.held_out), len(fold.plan.classes)))
    for rows, values in predict_here(load_classifier(model), held_out.crops()):
        probs[rows] = values
    return calibrate(probs, held_out.given_labels)


def _keep(path: Path, values: Floats) -> None:
    """Write an array so that it is there wholly or not at all."""
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    os.replace(unfinished, path)


class _FoldWatch:
    """Reports the epochs of all folds as one count."""

    def __init__(self, n_folds: int, n_epochs: int) -> None:
        self._n_epochs = n_epochs
        self._n_skipped, self._n_folds = 0, n_folds
        self._seen = 0
        self._progress: Progress | None = None

    def skip(self) -> None:
        """Count a fold that was done in an earlier run."""
        self._n_skipped += 1

    def begin(self, folder: Path) -> None:
        """Begin a fold, perhaps in the middle."""
        if self._progress is None:
            if self._n_skipped:
                note(f"clean: {self._n_skipped} of {self._n_folds} folds are there already")
            n_left = (self._n_folds - self._n_skipped) * self._n_epochs
            self._progress = Progress("clean", n_left, unit="epochs")
        self._seen = 0
        self(folder)

    def __call__(self, folder: Path) -> None:
        """Look at a fold's checkpoints, and report what is new."""
        self._advance(n_epochs_done(folder))

    def end(self) -> None:
        """Count all of a fold's epochs, though it may have stopped early."""
        self._advance(self._n_epochs)

    def _advance(self, n_done: int) -> None:
        if self._progress is not None and n_done > self._seen:
            self._progress.advance(n_done - self._seen)
            self._seen = n_done
