"""The protocol that cannot fool: split by image or session, thresholds chosen inside.

Every fold has three parts that share no group: what is learnt from, what the threshold is chosen
on, and what is tested. The same detector on a random split of patches is the published mistake,
kept to show how large it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.model import DefectModel, fit_detector
from pipelines.defects.patches import Patches
from pipelines.errors import SettingsError
from pipelines.evaluation.anomaly import check_scores, threshold_at
from pipelines.randomness import generator

Ints = NDArray[np.int64]
#: Share of the groups outside a fold's test that the threshold is chosen on.
SHARE_TO_CALIBRATE = 0.25


@dataclass(frozen=True)
class Judged:
    """What a detector said of every patch, when that patch was in no way known to it.

    Attributes
    ----------
    method : str
        The detector.
    scores : (N,) ndarray
        Brought to one scale over the folds by the clean patches of each fold's calibration: 0 is
        their median, 1 their 99 % quantile.
    flagged : (N,) ndarray of bool
        Whether the score passes the threshold of its fold.
    fold : (N,) ndarray of int
        The fold that each patch was tested in.
    thresholds : list of float
        Of every fold, on the scale of ``scores``.
    """

    method: str
    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    fold: Ints
    thresholds: list[float] = field(default_factory=list)


def grouped_folds(groups: NDArray[np.str_], n_folds: int, *, seed: int) -> Ints:
    """Deal whole groups to folds, (N,) of 0 to ``n_folds - 1``.

    Raises
    ------
    SettingsError
        If there are fewer groups than three, the least for learning, calibrating and testing.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        raise SettingsError(
            f"at least 3 images or sessions are needed, to learn from, to choose a threshold on "
            f"and to test on; got {len(names)}"
        )
    n_folds = min(n_folds, len(names))
    sizes = np.bincount(index)
    rng = generator(seed, "folds")
    fold_of, load = np.empty(len(names), np.int64), np.zeros(n_folds)
    # The largest first, each to the fold that has least; equal ones by lot.
    for group in sorted(rng.permutation(len(names)), key=lambda g: -sizes[g]):
        fold_of[group] = int(np.argmin(load))
        load[fold_of[group]] += sizes[group]
    folds: Ints = fold_of[index]
    return folds


def random_folds(n: int, n_folds: int, *, seed: int) -> Ints:
    """Deal single patches to folds: the published mistake."""
    folds: Ints = generator(seed, "random folds").permutation(n) % n_folds
    return folds


def cross_judge(
    detector: Any,
    patches: Patches,
    folds: Ints,
    groups: NDArray[np.str_],
    *,
    false_positive_rate: float,
    seed: int,
    on_fold: Callable[[], None] = lambda: None,
) -> Judged:
    """Judge every patch by a detector that learnt from other folds.

    Parameters
    ----------
    detector : Detector
        From `pipelines.defects.catalogue`.
    patches : Patches
        All of them.
    folds : (N,) ndarray of int
        The fold in which each is tested.
    groups : (N,) ndarray of str
        What is kept together where the rest is split again for the threshold; a name per patch
        for a random split.
    false_positive_rate : float
        The share of clean calibration patches that a threshold may flag.
    seed : int
        Of the inner split and of the detector.
    on_fold : callable
        Called after each fold.
    """
    scores = np.full(len(patches), np.nan)
    flagged = np.zeros(len(patches), bool)
    thresholds = []
    for fold in np.unique(folds):
        test = folds == fold
        learn, calibrate = _split_rest(~test, patches, groups, seed=seed, fold=int(fold))
        model = fit_detector(detector, feed(detector, patches.take(learn)), seed=seed)
        asked = np.flatnonzero(test | calibrate)
        found = np.full(len(patches), np.nan)
        found[asked] = check_scores(judge(detector, model, patches.take(asked)))
        clean = found[calibrate & patches.is_clean]
        middle, high = np.median(clean), np.quantile(clean, 0.99)
        found = (found - middle) / max(float(high - middle), 1e-12)
        threshold = threshold_at(found[calibrate & patches.is_clean], false_positive_rate)
        scores[test] = found[test]
        flagged[test] = found[test] >= threshold
        thresholds.append(threshold)
        on_fold()
    return Judged(detector.name, scores, flagged, folds, thresholds)


def feed(detector: Any, patches: Patches) -> Patches:
    """Give a detector what it may learn from: clean patches, unless it was published otherwise."""
    if detector.diet == "clean":
        return patches.take(patches.is_clean)
    if detector.diet == "labelled":
        return patches.take(~patches.is_doubtful)
    return patches


def judge(detector: Any, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
    """Score patches, those of one image together."""
    scores = np.empty(len(patches))
    for name in np.unique(patches.images):
        rows = np.flatnonzero(patches.images == name)
        scores[rows] = detector.score(model, patches.take(rows))
    return scores


def _split_rest(
    rest: NDArray[np.bool_], patches: Patches, groups: NDArray[np.str_], *, seed: int, fold: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split what is not tested into what is learnt from and what thresholds are chosen on."""
    names = np.unique(groups[rest])
    order = generator(seed, "calibrate", fold).permutation(names)
    n = max(1, round(SHARE_TO_CALIBRATE * len(names)))
    chosen = rest & np.isin(groups, order[:n])
    if not (chosen & patches.is_clean).any():
        raise SettingsError("there are no normal patches to choose a threshold on")
    return rest & ~chosen, chosen
