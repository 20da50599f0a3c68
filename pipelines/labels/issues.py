"""Find labels that are probably wrong: confident learning over out-of-sample probabilities.

The counting and the filters are cleanlab's. Its matrices are [given, true]; ours, everywhere
outside `_joint`, are [true, given].
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues as find_with_cleanlab
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import LabelError, SettingsError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: cleanlab's ways of choosing what to flag; the first is its default and ours.
FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)
#: Networks that have not seen a label are hardly ever this sure of it on average.
IN_SAMPLE_CONFIDENCE = 0.99
#: cleanlab's own slack in comparing with thresholds.
_SLACK = 1e-6
#: Ends of a 95 % interval.
_LEVEL = (0.025, 0.975)


class InSampleWarning(UserWarning):
    """Probabilities look as if the network had been trained on the very labels in question."""


@dataclass(frozen=True)
class NoiseEstimate:
    """How wrong given labels are, estimated without truth.

    Attributes
    ----------
    joint : (K, K) ndarray
        Estimated ``[true, given]`` shares of the samples; they sum to 1.
    transition_matrix : (K, K) ndarray
        ``[true, given]``, rows sum to 1.
    error_rate : float
        Share of wrong labels, 0 to 1.
    error_rate_interval : (float, float)
        95 % bootstrap interval over particles.
    transition_interval : (2, K, K) ndarray
        Low and high ends for every entry of the transition matrix.
    """

    joint: Floats
    transition_matrix: Floats
    error_rate: float
    error_rate_interval: tuple[float, float]
    transition_interval: Floats


@dataclass(frozen=True)
class LabelIssues:
    """Labels that are probably wrong.

    Attributes
    ----------
    flagged : (N,) ndarray of bool
        Which labels.
    margins : (N,) ndarray
        Probability of the given label less that of the likeliest other: -1 to 1, low is bad.
    ranking : (M,) ndarray of int
        Rows of the flagged, worst first.
    proposed_labels : (N,) ndarray of int
        The likeliest class.
    undeterminable : (N,) ndarray of bool
        Flagged, but no class is as likely as it is on average for those labelled with it.
    noise : NoiseEstimate
        How wrong the labels are altogether.
    """

    flagged: Bools
    margins: Floats
    ranking: Indices
    proposed_labels: Indices
    undeterminable: Bools
    noise: NoiseEstimate


def find_label_issues(
    given_labels: ArrayLike,
    pred_probs: ArrayLike,
    particle_ids: ArrayLike,
    *,
    filter_by: str = FILTERS[0],
    mirrored_class: Sequence[int] | None = None,
    n_resamples: int = 1000,
    rng: np.random.Generator,
) -> LabelIssues:
    """Find labels that are probably wrong, and estimate how many are.

    Parameters
    ----------
    given_labels : (N,) array_like of int
        Class indices, perhaps wrong.
    pred_probs : (N, K) array_like
        Probabilities of networks that did not see the sample; rows sum to 1.
    particle_ids : (N,) array_like of int
        Samples of one particle stay together in the bootstrap.
    filter_by : str
        One of `FILTERS`, as in cleanlab.
    mirrored_class : sequence of int, optional
        For each class that of its mirror image. Needed where a class has no label of its own:
        then mirror images, whose probabilities are the mirrored ones, set what its typical
        probability is.
    n_resamples : int
        Resamples behind the intervals. Thresholds are not estimated anew in each.
    rng : numpy.random.Generator
        Randomness of the bootstrap.

    Warns
    -----
    InSampleWarning
        If probabilities are too sure of the labels to be out of sample.

    Raises
    ------
    SettingsError
        For an unknown filter.
    LabelError
        If labels and probabilities do not fit, or a class has no label.

    References
    ----------
    Northcutt et al., "Confident learning", J. Artif. Intell. Res. 70 (2021).
    """
    if filter_by not in FILTERS:
        raise SettingsError(f"--filter-by must be one of {', '.join(FILTERS)}, got {filter_by!r}")
    given = np.asarray(given_labels, dtype=np.int64)
    probs = np.asarray(pred_probs, dtype=np.float64)
    ids = np.asarray(particle_ids, dtype=np.int64)
    _check(given, probs, ids)
    counted, counted_probs = _counted(given, probs, mirrored_class)
    rows = np.arange(len(given))
    self_confidence = probs[rows, given]
    if (mean := float(self_confidence.mean())) > IN_SAMPLE_CONFIDENCE:
        warnings.warn(
            f"mean probability of the given label is {mean:.3f}: probabilities must come from "
            "networks that did not see the label",
            InSampleWarning,
            stacklevel=2,
        )
    thresholds = get_confident_thresholds(counted, counted_probs)
    counts = compute_confident_joint(given, probs, thresholds=thresholds)
    flagged = find_with_cleanlab(
        counted,
        counted_probs,
        filter_by=filter_by,
        # Saves it from counting again what is counted already.
        confident_joint=counts if counted is given and filter_by != "confident_learning" else None,
        # The default starts a pool of processes, which costs more than the work for few classes.
        n_jobs=1,
    )
    flagged = flagged[: len(given)].copy()
    others = probs.copy()
    others[rows, given] = -np.inf
    margins = self_confidence - others.max(axis=1)
    suspects = np.flatnonzero(flagged)
    reached = probs >= thresholds - _SLACK
    return LabelIssues(
        flagged=flagged,
        margins=margins,
        ranking=suspects[np.lexsort((ids[suspects], margins[suspects]))],
        proposed_labels=probs.argmax(axis=1),
        undeterminable=flagged & ~reached.any(axis=1),
        noise=_estimate(_joint(counts), _patterns(given, reached, probs, ids), n_resamples, rng),
    )


def _counted(
    given: Indices, probs: Floats, mirrored_class: Sequence[int] | None
) -> tuple[Indices, Floats]:
    """Return the labels that are counted: mirror images too, where a class has no own label."""
    n_classes = probs.shape[1]
    missing = np.setdiff1d(np.arange(n_classes), given)
    if not missing.size:
        return given, probs
    swap = np.arange(n_classes) if mirrored_class is None else np.asarray(mirrored_class)
    if still := sorted(set(missing.tolist()) - set(swap[given].tolist())):
        raise LabelError(f"class {still[0]} has no labelled sample")
    return np.concatenate([given, swap[given]]), np.concatenate([probs, probs[:, swap]])


def _estimate(
    joint: Floats, patterns: tuple[Indices, Indices], n_resamples: int, rng: np.random.Generator
) -> NoiseEstimate:
    """Estimate the noise, with intervals by resampling particles."""
    resampled = _resampled_joints(*patterns, len(joint), n_resamples, rng)
    rates = 1 - np.trace(resampled, axis1=1, axis2=2)
    low, high = np.quantile(rates, _LEVEL)
    return NoiseEstimate(
        joint=joint,
        transition_matrix=_rows_to_1(joint),
        error_rate=float(1 - np.trace(joint)),
        error_rate_interval=(float(low), float(high)),
        transition_interval=np.quantile(_rows_to_1(resampled), _LEVEL, axis=0),
    )


def _joint(confident_joint: NDArray[Any]) -> Floats:
    """Turn cleanlab's counts [given, true] into shares [true, given]."""
    counts = np.swapaxes(np.asarray(confident_joint, dtype=np.float64), -1, -2)
    shares: Floats = counts / counts.sum(axis=(-1, -2), keepdims=True)
    return shares


def _rows_to_1(joint: Floats) -> Floats:
    """Divide by the share of each true class; in a class that nothing is of, all is right."""
    totals = joint.sum(axis=-1, keepdims=True)
    share: Floats = np.where(
        totals > 0, joint / np.where(totals > 0, totals, 1), np.eye(joint.shape[-1])
    )
    return share


def _patterns(
    given: Indices, reached: Bools, probs: Floats, ids: Indices
) -> tuple[Indices, Indices]:
    """Count samples by label and confident class, particle by particle.

    Nothing else of a sample matters to the count, so particles fall into few patterns.

    Returns
    -------
    patterns : (P, K * (K + 1)) ndarray of int
        Distinct counts of a particle; the last of each K + 1 is for no confident class.
    n_particles : (P,) ndarray of int
        How many particles have each.
    """
    n_classes = probs.shape[1]
    n_reached = reached.sum(axis=1)
    guess = np.where(n_reached > 1, probs.argmax(axis=1), reached.argmax(axis=1))
    guess[n_reached == 0] = n_classes
    cells = given * (n_classes + 1) + guess
    n_cells = n_classes * (n_classes + 1)
    in_order = np.sort(ids)
    if (in_order[1:] != in_order[:-1]).all():
        return np.eye(n_cells, dtype=np.int64), np.bincount(cells, minlength=n_cells)
    unique = np.unique(ids)
    particle = np.searchsorted(unique, ids)
    counts = np.bincount(particle * n_cells + cells, minlength=len(unique) * n_cells)
    return np.unique(counts.reshape(-1, n_cells), axis=0, return_counts=True)


def _resampled_joints(
    patterns: Indices,
    n_particles: Indices,
    n_classes: int,
    n_resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Return the joints of resampled particles, (n_resamples, K, K) ``[true, given]``."""
    total = n_particles.sum()
    drawn = rng.multinomial(total, n_particles / total, size=n_resamples)
    counts = (drawn @ patterns).reshape(n_resamples, n_classes, n_classes + 1).astype(np.float64)
    n_given = counts.sum(axis=2, keepdims=True)
    confident = counts[:, :, :n_classes]
    # As cleanlab calibrates: at least one right label per class, rows as many as were given.
    right = np.arange(n_classes)
    confident[:, right, right] = np.maximum(confident[:, right, right], 1)
    return _joint(confident / confident.sum(axis=2, keepdims=True) * n_given)


def _check(given: Indices, probs: Floats, ids: Indices) -> None:
    if probs.ndim != 2 or probs.shape[0] != given.size or given.ndim != 1 or not given.size:
        raise LabelError(
            f"pred_probs must have a row for each of {given.size} labels, got shape {probs.shape}"
        )
    if probs.shape[1] < 2:
        raise LabelError("there must be at least two classes to mistake for each other")
    if ids.shape != given.shape:
        raise LabelError(f"particle_ids must have shape {given.shape}, got {ids.shape}")
    if not 0 <= given.min() <= given.max() < probs.shape[1]:
        raise LabelError(
            f"given labels must be 0 to {probs.shape[1] - 1}, got {given.min()} to {given.max()}"
        )
    if not (np.isfinite(probs).all() and np.allclose(probs.sum(axis=1), 1, atol=1e-4)):
        raise LabelError("pred_probs must be finite and sum to 1 in every row")
