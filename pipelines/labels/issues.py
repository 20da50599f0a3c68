"""Find labels that are probably wrong: confident learning over out-of-sample probabilities.

Thresholds and filters are cleanlab's; how many labels of which class are wrong is counted as it
does, but evened out, see `pipelines.labels.noise_estimate.pass_rates`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.count import get_confident_thresholds
from cleanlab.filter import find_label_issues as find_with_cleanlab
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import LabelError, SettingsError
from pipelines.labels.noise_estimate import (
    NoiseEstimate,
    confident_classes,
    count_confident,
    estimate_noise,
    pass_rates,
)

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


class InSampleWarning(UserWarning):
    """Probabilities look as if the network had been trained on the very labels in question."""


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
    even_out: bool = True,
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
        For each class that of its mirror image. Then mirror images are counted too, under their
        own labels and with mirrored probabilities, so that both classes of a pair have one
        threshold, and even a class without a label of its own has one. It takes networks that
        tell mirror images apart alike; flags and estimates are of the samples themselves.
    even_out : bool
        Whether counts are divided by the classes' pass rates; without, the first three filters
        flag exactly what cleanlab does. The other filters always do.
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
    swap = np.arange(probs.shape[1]) if mirrored_class is None else np.asarray(mirrored_class)
    n_given = np.bincount(given, minlength=len(swap))
    n_counted = n_given + n_given[swap]
    if (n_counted == 0).any():
        raise LabelError(f"class {int(np.argmin(n_counted))} has no labelled sample")
    rows = np.arange(len(given))
    self_confidence = probs[rows, given]
    if (mean := float(self_confidence.mean())) > IN_SAMPLE_CONFIDENCE:
        warnings.warn(
            f"mean probability of the given label is {mean:.3f}: probabilities must come from "
            "networks that did not see the label",
            InSampleWarning,
            stacklevel=2,
        )
    thresholds = get_confident_thresholds(given, probs)
    # What a mirror image is labelled with, and how probable that is, is the same for its origin.
    thresholds = (n_given * thresholds + (n_given * thresholds)[swap]) / n_counted
    guess = confident_classes(probs, thresholds)
    rates = pass_rates(given, guess, probs, swap) if even_out else np.ones(len(swap))
    flagged = _flag(given, probs, swap, count_confident(given, guess, rates), filter_by)
    others = probs.copy()
    others[rows, given] = -np.inf
    margins = self_confidence - others.max(axis=1)
    suspects = np.flatnonzero(flagged)
    return LabelIssues(
        flagged=flagged,
        margins=margins,
        ranking=suspects[np.lexsort((ids[suspects], margins[suspects]))],
        proposed_labels=probs.argmax(axis=1),
        undeterminable=flagged & (guess == probs.shape[1]),
        noise=estimate_noise(given, guess, rates, ids, n_resamples=n_resamples, rng=rng),
    )


def _flag(given: Indices, probs: Floats, swap: Indices, counts: Indices, filter_by: str) -> Bools:
    """Choose what to flag by a filter of cleanlab."""
    n = len(given)
    takes_counts = filter_by in ("prune_by_noise_rate", "prune_by_class", "both")
    is_mirrored = (swap != np.arange(len(swap))).any()
    if is_mirrored and not (takes_counts and np.bincount(given, minlength=len(swap)).all()):
        # Filters that count for themselves must see mirror images, and none can do with a class
        # that has no label.
        given, probs = np.concatenate([given, swap[given]]), np.concatenate([probs, probs[:, swap]])
        counts = counts + counts[np.ix_(swap, swap)]
    flagged = find_with_cleanlab(
        given,
        probs,
        filter_by=filter_by,
        confident_joint=counts if takes_counts else None,
        # The default starts a pool of processes, which costs more than the work for few classes.
        n_jobs=1,
    )
    return np.asarray(flagged[:n], dtype=bool)


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
