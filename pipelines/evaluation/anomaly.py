"""How well scores find rare defects: from scores alone, with intervals over whole images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Fewer different values among this many scores or more are decisions, not scores.
FEWEST_VALUES, AMONG_N = 3, 20
N_RESAMPLES = 300


@dataclass(frozen=True)
class Curve:
    """What every threshold gives, from the strictest to none.

    Attributes
    ----------
    thresholds : (T,) ndarray
        Falling; places of at least this score are flagged.
    false_positive_rate, recall, precision : (T,) ndarray
    """

    thresholds: Floats
    false_positive_rate: Floats
    recall: Floats
    precision: Floats

    @property
    def roc_auc(self) -> float:
        """Area under recall over false positive rate."""
        x = np.concatenate([[0.0], self.false_positive_rate])
        return float(np.trapezoid(np.concatenate([[0.0], self.recall]), x))

    @property
    def pr_auc(self) -> float:
        """Average precision: the mean precision over the steps of recall."""
        return float((np.diff(self.recall, prepend=0.0) * self.precision).sum())

    def recall_at(self, false_positive_rate: float) -> float:
        """Return the recall of the loosest threshold within a rate of false positives."""
        allowed = self.false_positive_rate <= false_positive_rate + 1e-12
        return float(self.recall[allowed].max(initial=0.0))


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def check_scores(scores: ArrayLike) -> Floats:
    """Return scores as floats; refuse what are decisions, since a curve of those is none.

    The area under the curve of hard labels is the balanced accuracy, a number that looks like an
    area and is not comparable with one.

    Raises
    ------
    TypeError
        If the scores are booleans, integers or texts.
    ValueError
        If there are only two different values among many, or one is not finite.
    """
    given = np.asarray(scores)
    if given.dtype.kind != "f":
        raise TypeError(f"scores must be floats, not hard labels, got dtype {given.dtype}")
    values = given.astype(np.float64).ravel()
    if not np.isfinite(values).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(values)).sum())} others")
    distinct = len(np.unique(values))
    if len(values) >= AMONG_N and 1 < distinct < FEWEST_VALUES:
        raise ValueError(
            f"scores must be scores, not hard labels, got {distinct} different values among "
            f"{len(values)}"
        )
    return values


def score_curve(
    scores: ArrayLike, is_defect: ArrayLike, *, weights: ArrayLike | None = None
) -> Curve:
    """Follow recall, precision and false positives over all thresholds.

    Parameters
    ----------
    scores : (N,) array_like of float
        Higher is odder. Equal scores are flagged together.
    is_defect : (N,) array_like of bool
        The truth.
    weights : (N,) array_like, optional
        How often each place counts.

    Raises
    ------
    TypeError, ValueError
        As `check_scores`, or if one of the classes is missing.
    """
    values, truth = check_scores(scores), np.asarray(is_defect, bool).ravel()
    if values.shape != truth.shape:
        raise ValueError(f"is_defect must have shape {values.shape}, got {truth.shape}")
    counts = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    if not counts[truth].sum() or not counts[~truth].sum():
        raise ValueError("is_defect must have both defects and others")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    return _curve(values[order], truth[order], counts[order], last)


def threshold_at(clean_scores: ArrayLike, false_positive_rate: float) -> float:
    """Choose the lowest threshold that flags at most this share of clean places.

    Examples
    --------
    >>> threshold_at([0.1, 0.2, 0.3, 0.4], 0.25) <= 0.4
    True
    >>> threshold_at([0.1, 0.2, 0.3, 0.4], 0.25) > 0.3
    True
    """
    values = np.sort(check_scores(clean_scores))[::-1]
    if not len(values):
        raise ValueError("clean_scores must not be empty")
    n_allowed = int(np.floor(false_positive_rate * len(values) + 1e-9))
    if n_allowed >= len(values):
        return float(values[-1])
    return float(np.nextafter(values[n_allowed], np.inf))


def bootstrap_over(
    groups: ArrayLike,
    scores: ArrayLike,
    is_defect: ArrayLike,
    measure: Callable[[Curve], float],
    *,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.Generator,
) -> Estimate:
    """Estimate a measure with its 95 % interval, drawing whole groups anew.

    Patches of one image are not independent, so images are what is drawn.

    Parameters
    ----------
    groups : (N,) array_like
        Image of each place.
    scores, is_defect : (N,) array_like
        As for `score_curve`.
    measure : callable
        Takes a `Curve`.
    n_resamples : int
        Draws; those without a defect or without clean places are left out.
    rng : numpy.random.Generator
        Draws them.
    """
    values, truth = check_scores(scores), np.asarray(is_defect, bool).ravel()
    value = measure(score_curve(values, truth))
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(index.max()) + 1
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    drawn = []
    for _ in range(n_resamples):
        times = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
        weights = times[index].astype(np.float64)
        if weights[truth].sum() and weights[~truth].sum():
            drawn.append(measure(_curve(values[order], truth[order], weights[order], last)))
    if len(drawn) < 2 or n_groups < 2:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _curve(values: Floats, truth: Bools, weights: Floats, last: NDArray[Any]) -> Curve:
    """Make a curve from sorted values; ``last`` are the ends of runs of equal ones."""
    found = np.cumsum(weights * truth)[last]
    false = np.cumsum(weights * ~truth)[last]
    flagged = np.maximum(found + false, 1e-300)
    return Curve(values[last], false / false[-1], found / found[-1], found / flagged)
