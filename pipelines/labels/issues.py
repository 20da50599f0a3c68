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
    guess = confident_classes(counted_probs, get_confident_thresholds(counted, counted_probs))
    rates = np.ones(probs.shape[1])
    if even_out:
        rates = pass_rates(counted, guess, counted_probs)
    takes_counts = filter_by in ("prune_by_noise_rate", "prune_by_class", "both")
    flagged = find_with_cleanlab(
        counted,
        counted_probs,
        filter_by=filter_by,
        confident_joint=count_confident(counted, guess, rates) if takes_counts else None,
        # The default starts a pool of processes, which costs more than the work for few classes.
        n_jobs=1,
    )
    flagged = flagged[: len(given)].copy()
    others = probs.copy()
    others[rows, given] = -np.inf
    margins = self_confidence - others.max(axis=1)
    suspects = np.flatnonzero(flagged)
    own = guess[: len(given)]
    return LabelIssues(
        flagged=flagged,
        margins=margins,
        ranking=suspects[np.lexsort((ids[suspects], margins[suspects]))],
        proposed_labels=probs.argmax(axis=1),
        undeterminable=flagged & (own == probs.shape[1]),
        noise=estimate_noise(given, own, rates, ids, n_resamples=n_resamples, rng=rng),
    )


def _counted(
    given: Indices, probs: Floats, mirrored_class: Sequence[int] | None
) -> tuple[Indices, Floats]:
    """Return the labels that are counted: those of mirror images too, where there are any."""
    classes = np.arange(probs.shape[1])
    swap = classes if mirrored_class is None else np.asarray(mirrored_class)
    if (swap != classes).any():
        given = np.concatenate([given, swap[given]])
        probs = np.concatenate([probs, probs[:, swap]])
    if missing := np.setdiff1d(classes, given).tolist():
        raise LabelError(f"class {missing[0]} has no labelled sample")
    return given, probs


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
