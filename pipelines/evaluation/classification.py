"""How good predicted classes and probabilities are; intervals by resampling whole particles."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Temperatures searched: a net can be this many times too sure, or too unsure.
_TEMPERATURE_RANGE = (0.05, 20.0)
_RESAMPLES_AT_ONCE = 64


def confusion_matrix(
    true_labels: ArrayLike, predicted_labels: ArrayLike, *, n_classes: int
) -> Indices:
    """Count predictions by true class.

    Parameters
    ----------
    true_labels, predicted_labels : (N,) array_like of int
        Class indices, 0 to ``n_classes - 1``.
    n_classes : int
        Number of classes.

    Returns
    -------
    confusion : (K, K) ndarray of int
        ``confusion[true, predicted]``.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1], [0, 1, 1], n_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    true = _class_indices("true_labels", true_labels, n_classes)
    predicted = _class_indices("predicted_labels", predicted_labels, n_classes)
    if true.shape != predicted.shape:
        raise ValueError(
            f"predicted_labels must have shape {true.shape} of true_labels, got {predicted.shape}"
        )
    counts = np.bincount(true * n_classes + predicted, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def accuracy(confusion: NDArray[Any]) -> float:
    """Return the share of right predictions of a confusion matrix; nan if it is empty."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def balanced_accuracy(confusion: NDArray[Any]) -> float:
    """Return the mean recall of the classes that occur; nan if none does.

    Examples
    --------
    >>> balanced_accuracy(np.array([[90, 0], [10, 0]]))
    0.5
    """
    present = confusion.sum(axis=1) > 0
    if not present.any():
        return float("nan")
    recalls = np.diag(confusion)[present] / confusion.sum(axis=1)[present]
    return float(recalls.mean())


def expected_calibration_error(
    pred_probs: NDArray[Any], true_labels: ArrayLike, *, n_bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy over equal bins of confidence.

    Parameters
    ----------
    pred_probs : (N, K) ndarray
        Probabilities, rows sum to 1.
    true_labels : (N,) array_like of int
        Class indices.
    n_bins : int
        Bins of confidence between 0 and 1.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    probs = _probabilities(pred_probs)
    true = _class_indices("true_labels", true_labels, probs.shape[1])
    confidence = probs.max(axis=1)
    right = probs.argmax(axis=1) == true
    # Bins are closed above, so that full confidence falls into the last one.
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / true.size)


def brier_score(pred_probs: NDArray[Any], true_labels: ArrayLike) -> float:
    """Return the mean squared distance to the true class, summed over classes: 0 to 2.

    Examples
    --------
    >>> brier_score(np.array([[1.0, 0.0], [0.5, 0.5]]), [0, 0])
    0.25
    """
    probs = _probabilities(pred_probs)
    true = _class_indices("true_labels", true_labels, probs.shape[1])
    errors = probs.copy()
    errors[np.arange(true.size), true] -= 1
    return float((errors**2).sum(axis=1).mean())


def softmax(logits: NDArray[Any], *, temperature: float = 1.0) -> Floats:
    """Turn logits (N, K) into probabilities, softened where ``temperature`` is above 1."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probs: Floats = powers / powers.sum(axis=1, keepdims=True)
    return probs


def fit_temperature(logits: NDArray[Any], labels: ArrayLike) -> float:
    """Find the temperature that makes probabilities most likely on held-out labels.

    Parameters
    ----------
    logits : (N, K) ndarray
        Scores of particles that the net was not trained on.
    labels : (N,) array_like of int
        Class indices, given or true.

    Returns
    -------
    temperature : float
        Divide logits by it. 0.05 to 20; 1.0 where there is nothing to fit.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"logits must be finite and of shape (N, K), got shape {scores.shape}")
    given = _class_indices("labels", labels, scores.shape[1])
    if given.size == 0:
        return 1.0
    rows = np.arange(given.size)

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, given]).mean())

    low, high = np.log(_TEMPERATURE_RANGE)
    # The loss is convex in 1 / temperature, so unimodal here: a bounded search is enough.
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def bootstrap_interval(
    statistic: Callable[[Indices], float],
    groups: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return a percentile interval of a statistic, resampling whole groups.

    Parameters
    ----------
    statistic : callable
        Takes row indices (with repeats) and returns a number; nan is left out.
    groups : (N,) array_like
        The particle of every row: mirrors and crops of one particle stay together.
    level : float
        Coverage, 0 to 1.
    n_resamples : int
        Resamples drawn.
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    low, high : float
        Nan where there is nothing to resample.
    """
    members = _group_members(groups)
    if not members:
        return float("nan"), float("nan")
    values = []
    for _ in range(n_resamples):
        drawn = rng.integers(len(members), size=len(members))
        values.append(statistic(np.concatenate([members[i] for i in drawn])))
    return _percentiles(np.array(values), level)


def mean_interval(
    values: ArrayLike,
    groups: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return a percentile interval of a mean (such as accuracy), resampling whole groups.

    The same as `bootstrap_interval` with a mean, from sums per group: fast for 10**5 particles.
    """
    numbers = np.asarray(values, dtype=np.float64)
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    if numbers.size == 0:
        return float("nan"), float("nan")
    sums = np.bincount(inverse, weights=numbers)
    sizes = np.bincount(inverse)
    means = []
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        n_now = min(_RESAMPLES_AT_ONCE, n_resamples - start)
        drawn = rng.integers(sums.size, size=(n_now, sums.size))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return _percentiles(np.concatenate(means), level)


def _group_members(groups: ArrayLike) -> list[Indices]:
    _, inverse, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if inverse.size == 0:
        return []
    return np.split(np.argsort(inverse, kind="stable"), np.cumsum(sizes)[:-1])


def _percentiles(values: Floats, level: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if known.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _class_indices(name: str, labels: ArrayLike, n_classes: int) -> Indices:
    indices = np.asarray(labels)
    if indices.size and not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"{name} must be class indices, got dtype {indices.dtype}")
    indices = indices.astype(np.int64)
    if indices.size and not 0 <= indices.min() <= indices.max() < n_classes:
        raise ValueError(
            f"{name} must be 0 to {n_classes - 1}, got {indices.min()} to {indices.max()}"
        )
    return indices


def _probabilities(pred_probs: NDArray[Any]) -> Floats:
    probs = np.asarray(pred_probs, dtype=np.float64)
    if probs.ndim != 2 or probs.shape[0] == 0:
        raise ValueError(f"pred_probs must have shape (N, K) with N > 0, got {probs.shape}")
    if not np.allclose(probs.sum(axis=1), 1, atol=1e-4):
        raise ValueError("pred_probs must sum to 1 in every row")
    return probs
