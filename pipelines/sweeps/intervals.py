"""How sure an accuracy is: bootstrap over particles, and over the seeds if asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]
#: The epochs of one trial, a row each.
History = Sequence[Mapping[str, Any]]
#: Resamples are drawn some at a time, so that memory stays small for many particles.
_RESAMPLES_AT_ONCE = 64


class Interval(NamedTuple):
    """A value and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Values with intervals along an axis; all arrays (M,), the axis rising.

    Attributes
    ----------
    x : (M,) ndarray
        The axis: mostly error rates, 0 to 1.
    values, low, high : (M,) ndarray
        Values and the ends of their intervals; ends are nan where there is none.
    """

    x: Floats
    values: Floats
    low: Floats
    high: Floats


def accuracy_interval(
    correct: Floats,
    *,
    with_seeds: bool = False,
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> Interval:
    """Return the mean accuracy over seeds, with its interval over particles.

    Parameters
    ----------
    correct : (n_seeds, n_particles) ndarray
        Share of each particle's images that are classified rightly, 0 to 1: a number per particle,
        as its images are not independent.
    with_seeds : bool
        Resample the seeds too. Otherwise the interval is that of these very trainings on other
        particles; with few seeds, resampling them makes it too narrow still.
    level : float
        Coverage, 0 to 1.
    n_resamples : int
        Resamples drawn.
    rng : numpy.random.Generator
        Randomness.
    """
    draws = _resampled_means([_checked("correct", correct)], with_seeds, n_resamples, rng)
    return _interval(float(np.mean(correct)), draws[0], level)


def accuracy_difference(
    correct: Floats,
    other: Floats,
    *,
    with_seeds: bool = False,
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> Interval:
    """Return by how much the first of two methods is more accurate, on the same particles.

    Parameters
    ----------
    correct, other : (n_seeds, n_particles) ndarray
        As in `accuracy_interval`, columns of the same particles in the same order; numbers of
        seeds may differ. Resamples take the same particles of both, so that what makes a particle
        hard for both leaves the difference alone.
    with_seeds, level, n_resamples, rng
        As in `accuracy_interval`.
    """
    pair = [_checked("correct", correct), _checked("other", other)]
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(
            f"correct and other must have the same particles, got {pair[0].shape[1]} "
            f"and {pair[1].shape[1]}"
        )
    first, second = _resampled_means(pair, with_seeds, n_resamples, rng)
    return _interval(float(np.mean(correct) - np.mean(other)), first - second, level)


def accuracy_gap(
    correct: Floats,
    other: Floats,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> Interval:
    """Return by how much accuracy is higher on one set of particles than on another.

    Parameters
    ----------
    correct, other : (n_seeds, n_particles) ndarray
        As in `accuracy_interval`; particles differ and are resampled apart. Where the same
        particles are in both, `accuracy_difference` is sharper.
    level, n_resamples, rng
        As in `accuracy_interval`.
    """
    first = _resampled_means([_checked("correct", correct)], False, n_resamples, rng)[0]
    second = _resampled_means([_checked("other", other)], False, n_resamples, rng)[0]
    return _interval(float(np.mean(correct) - np.mean(other)), first - second, level)


def curves_over_seeds(
    rows: Sequence[Mapping[str, Any]],
    column: str,
    *,
    x: str = "error_rate",
    by: str = "method",
    level: float = 0.95,
) -> dict[str, Curve]:
    """Average a column of the results table over seeds, with Student's interval.

    Parameters
    ----------
    rows : sequence of mapping
        A row per trial. Those where ``column`` is missing, None or nan are left out.
    column, x, by : str
        What to average, along which column, and what makes a curve of its own.
    level : float
        Coverage, 0 to 1.

    Returns
    -------
    curves : dict of str to Curve
        In order of first appearance; the ends are nan where there is one seed only.
    """
    cells: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        value = row.get(column)
        if value is not None and not np.isnan(value):
            cells.setdefault(row[by], {}).setdefault(row[x], []).append(float(value))
    return {name: _student_curve(by_x, level) for name, by_x in cells.items()}


def curve_over_trials(trials: Sequence[History], column: str) -> Curve:
    """Average what was recorded per epoch over trials.

    Parameters
    ----------
    trials : sequence of sequence of mapping
        The epochs of each trial; rows without ``epoch`` are counted from 1.
    column : str
        What to average; rows where it is missing, None or nan are left out.

    Returns
    -------
    curve : Curve
        Along epochs, with the least and the greatest of all trials as ends.
    """
    by_epoch: dict[int, list[float]] = {}
    for history in trials:
        for number, row in enumerate(history, start=1):
            value = row.get(column)
            if value is not None and not np.isnan(value):
                by_epoch.setdefault(int(row.get("epoch", number)), []).append(float(value))
    epochs = sorted(by_epoch)
    parts = [np.array([take(by_epoch[e]) for e in epochs]) for take in (np.mean, min, max)]
    return Curve(np.array(epochs, dtype=np.float64), *parts)


def _student_curve(by_x: Mapping[float, Sequence[float]], level: float) -> Curve:
    places = sorted(by_x)
    means = np.array([np.mean(by_x[place]) for place in places])
    reach = np.full(len(places), np.nan)
    for index, place in enumerate(places):
        n = len(by_x[place])
        if n > 1:
            error = np.std(by_x[place], ddof=1) / np.sqrt(n)
            reach[index] = student.ppf((1 + level) / 2, n - 1) * error
    return Curve(np.array(places, dtype=np.float64), means, means - reach, means + reach)


def _resampled_means(
    tables: Sequence[Floats], with_seeds: bool, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """Return (n_tables, n_resamples) means; the same particles are drawn from all tables."""
    n_particles = tables[0].shape[1]
    means = np.empty((len(tables), n_resamples))
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        n_now = min(_RESAMPLES_AT_ONCE, n_resamples - start)
        drawn = rng.integers(n_particles, size=(n_now, n_particles))
        for index, table in enumerate(tables):
            if with_seeds:
                n_seeds = len(table)
                weights = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_now) / n_seeds
                sample = np.take_along_axis(weights @ table, drawn, axis=1)
            else:
                sample = table.mean(axis=0)[drawn]
            means[index, start : start + n_now] = sample.mean(axis=1)
    return means


def _interval(value: float, draws: Floats, level: float) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _checked(name: str, correct: Floats) -> Floats:
    table = np.asarray(correct, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must have shape (n_seeds, n_particles), got {table.shape}")
    if not ((table >= 0) & (table <= 1)).all():
        raise ValueError(f"{name} must be 0 to 1, got {table.min()} to {table.max()}")
    return table
