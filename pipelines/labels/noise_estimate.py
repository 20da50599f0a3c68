"""How wrong given labels are: the confident joint, evened out, with intervals over particles.

cleanlab's matrices are [given, true]; ours, outside `_joint`, are [true, given].
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from cleanlab.count import calibrate_confident_joint
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: cleanlab's own slack in comparing with thresholds.
_SLACK = 1e-6
#: No count weighs more than the inverse of this: of few samples, a rate is little more than luck.
_LEAST_PASS_RATE = 0.2
#: Ends of a 95 % interval.
_LEVEL = (0.025, 0.975)


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


def confident_classes(probs: Floats, thresholds: Floats) -> Indices:
    """Return the class that each sample confidently is of; K where it is of none.

    Of several that reach their thresholds, the likeliest.
    """
    reached = probs >= thresholds - _SLACK
    n_reached = reached.sum(axis=1)
    guess: Indices = np.where(n_reached > 1, probs.argmax(axis=1), reached.argmax(axis=1))
    guess[n_reached == 0] = probs.shape[1]
    return guess


def pass_rates(given: Indices, guess: Indices, probs: Floats, swap: Indices) -> Floats:
    """Return for each class how many of its samples reach its threshold, 0 to 1.

    A threshold is the mean probability of those labelled with the class. Where labels of the
    class are all right, that is what its samples have on average, and half of them do not reach
    it; where many are wrong, the mean is low and all of them do. Counts that do not know of this
    miss half of the wrong labels wherever errors go one way.

    Parameters
    ----------
    given, guess : (N,) ndarray of int
        Given labels, and `confident_classes`.
    probs : (N, K) ndarray
        Probabilities.
    swap : (K,) ndarray of int
        The class of each class's mirror image, whose samples count too.
    """
    agreeing = probs.argmax(axis=1) == given
    n_classes = probs.shape[1]
    n_all = np.bincount(given[agreeing], minlength=n_classes)
    n_passed = np.bincount(given[agreeing & (guess == given)], minlength=n_classes)
    n_all, n_passed = n_all + n_all[swap], n_passed + n_passed[swap]
    rates: Floats = np.where(n_passed > 0, n_passed / np.maximum(n_all, 1), 1.0)
    return np.maximum(rates, _LEAST_PASS_RATE)


def count_confident(given: Indices, guess: Indices, rates: Floats) -> Indices:
    """Count samples ``[given, true]`` as cleanlab does, but divided by the classes' pass rates.

    The result is what cleanlab calls a calibrated confident joint.
    """
    n_classes = len(rates)
    counts = _cells(given, guess, n_classes).reshape(n_classes, n_classes + 1)[:, :n_classes]
    calibrated = calibrate_confident_joint(_with_right_labels(counts / rates), given)
    return np.asarray(calibrated, dtype=np.int64)


def estimate_noise(
    given: Indices,
    guess: Indices,
    rates: Floats,
    particle_ids: Indices,
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> NoiseEstimate:
    """Estimate the noise, with intervals by resampling particles.

    Thresholds and pass rates are not estimated anew in each resample.
    """
    joint = _joint(count_confident(given, guess, rates))
    patterns, n_particles = _patterns(given, guess, len(rates), particle_ids)
    resampled = _resampled_joints(patterns, n_particles, rates, n_resamples, rng)
    low, high = np.quantile(1 - np.trace(resampled, axis1=1, axis2=2), _LEVEL)
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


def _cells(given: Indices, guess: Indices, n_classes: int) -> Indices:
    """Count samples by label and confident class, the last of each K + 1 for none."""
    n_cells = n_classes * (n_classes + 1)
    return np.bincount(given * (n_classes + 1) + guess, minlength=n_cells)


def _with_right_labels(counts: Floats) -> Floats:
    """Let every class have at least one right label, as cleanlab does."""
    diagonal = np.arange(counts.shape[-1])
    counts = counts.copy()
    counts[..., diagonal, diagonal] = np.maximum(counts[..., diagonal, diagonal], 1)
    return counts


def _patterns(
    given: Indices, guess: Indices, n_classes: int, ids: Indices
) -> tuple[Indices, Indices]:
    """Count samples by label and confident class, particle by particle.

    Nothing else of a sample matters to the count, so particles fall into few patterns.

    Returns
    -------
    patterns : (P, K * (K + 1)) ndarray of int
        Distinct counts of a particle.
    n_particles : (P,) ndarray of int
        How many particles have each.
    """
    n_cells = n_classes * (n_classes + 1)
    in_order = np.sort(ids)
    if (in_order[1:] != in_order[:-1]).all():
        return np.eye(n_cells, dtype=np.int64), _cells(given, guess, n_classes)
    unique = np.unique(ids)
    cells = np.searchsorted(unique, ids) * n_cells + given * (n_classes + 1) + guess
    counts = np.bincount(cells, minlength=len(unique) * n_cells)
    return np.unique(counts.reshape(-1, n_cells), axis=0, return_counts=True)


def _resampled_joints(
    patterns: Indices,
    n_particles: Indices,
    rates: Floats,
    n_resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Return the joints of resampled particles, (n_resamples, K, K) ``[true, given]``."""
    n_classes, total = len(rates), n_particles.sum()
    drawn = rng.multinomial(total, n_particles / total, size=n_resamples)
    counts = (drawn @ patterns).reshape(n_resamples, n_classes, n_classes + 1)
    n_given = counts.sum(axis=2, keepdims=True)
    confident = _with_right_labels(counts[:, :, :n_classes] / rates)
    return _joint(confident / confident.sum(axis=2, keepdims=True) * n_given)
