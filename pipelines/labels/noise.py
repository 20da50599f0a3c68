"""Labels made wrong on purpose, at a known rate, to see what a learner can bear.

Every draw is keyed by the particle's id: neither the order of the rows nor the number of workers
changes whose label is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit

from pipelines.errors import LabelError, SettingsError
from pipelines.randomness import hash_to_unit

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Kinds for two classes.
TWO_CLASS_KINDS = ("sym_pair", "sym_indep", "asym", "idn", "order")
#: All kinds; the last two are for any number of classes.
KINDS = (*TWO_CLASS_KINDS, "symmetric", "pair")
#: How sharply the chance of a wrong label grows with difficulty, per standard deviation.
STEEPNESS = 2.0


@dataclass(frozen=True)
class NoisyLabels:
    """Labels made wrong on purpose.

    Attributes
    ----------
    given_labels : (N,) ndarray of int
        Class indices, some of them wrong.
    mirrored_given_labels : (N,) ndarray of int, or None
        What each particle's mirror image is labelled; None where mirror images are not used.
    transition_matrix : (K, K) ndarray
        Realised ``[true, given]``, rows sum to 1; over mirror images too where they are used.
    error_rate : float
        Realised share of wrong labels, 0 to 1, over the same images.
    """

    given_labels: Indices
    mirrored_given_labels: Indices | None
    transition_matrix: Floats
    error_rate: float


def corrupt_labels(
    true_labels: ArrayLike,
    particle_ids: ArrayLike,
    *,
    kind: str,
    error_rate: float,
    seed: int,
    n_classes: int,
    mirrored_class: Sequence[int] | None = None,
    difficulty: ArrayLike | None = None,
    order: ArrayLike | None = None,
    asymmetry: float | None = None,
) -> NoisyLabels:
    """Make a known share of labels wrong.

    Parameters
    ----------
    true_labels : (N,) array_like of int
        Class indices, all known.
    particle_ids : (N,) array_like of int
        One row per particle.
    kind : str
        For two classes: "sym_pair" (exactly ``round(error_rate * N)`` particles), "sym_indep"
        (every image for itself), "asym" (as many, unevenly over the classes), "idn" (the more
        difficult, the likelier), "order" (the first in order of acquisition). For any number:
        "symmetric" (exactly as many, to any other class), "pair" (to the next class).
    error_rate : float
        Share of labels to make wrong, at least 0 and below 1.
    seed : int
        Another seed makes others wrong.
    n_classes : int
        Number of classes K.
    mirrored_class : sequence of int, optional
        For each class the one that its mirror image belongs to. Then mirror images get labels
        too. Both members of a pair are wrong together, except with "sym_indep".
    difficulty : (N,) array_like, optional
        For "idn": any scale, larger is harder; see `difficulty_of`.
    order : (N,) array_like, optional
        For "order": when each particle was acquired.
    asymmetry : float, optional
        For "asym": share of the wrong labels that falls on particles of class 1, 0 to 1. The
        default, 1, is what assuming class 0 for all does.

    Raises
    ------
    SettingsError
        For an unknown kind, a rate or asymmetry out of range, or what a kind needs and lacks.
    LabelError
        Where labels are unknown, out of range or missing for a class, or ids are repeated.

    References
    ----------
    The pairs: Groschner et al., npj Comput. Mater. 8, 149 (2022), who made the first ones in
    file order wrong ("order"). Symmetric and pair noise: Han et al., "Co-teaching", NeurIPS 2018.
    """
    if kind not in KINDS:
        raise SettingsError(f"noise must be one of {', '.join(KINDS)}, got {kind!r}")
    if not 0 <= error_rate < 1:
        raise SettingsError(f"--error-rate must be at least 0 and below 1, got {error_rate:g}")
    if kind in TWO_CLASS_KINDS and n_classes != 2:
        raise SettingsError(f"noise {kind} is for 2 classes, got {n_classes}; take symmetric")
    true = np.asarray(true_labels, dtype=np.int64)
    ids = np.asarray(particle_ids, dtype=np.int64)
    swap = None if mirrored_class is None else np.asarray(mirrored_class, dtype=np.int64)
    _check(true, ids, n_classes, swap)

    def flip(labels: Indices, wrong: NDArray[np.bool_]) -> Indices:
        return np.where(wrong, _other_class(labels, ids, kind, n_classes, seed), labels)

    wrong = _wrong(true, ids, kind, error_rate, seed, difficulty, order, asymmetry)
    given = flip(true, wrong)
    if swap is None:
        return NoisyLabels(given, None, *_realised(true, given, n_classes))
    mirrored = swap[given]
    if kind == "sym_indep":
        mirrored = flip(swap[true], hash_to_unit(ids, seed, "noise", "mirror") < error_rate)
    realised = _realised(
        np.concatenate([true, swap[true]]), np.concatenate([given, mirrored]), n_classes
    )
    return NoisyLabels(given, mirrored, *realised)


def flip_probabilities(difficulty: ArrayLike, error_rate: float) -> Floats:
    """Return the chance of a wrong label for each particle, from its difficulty.

    Parameters
    ----------
    difficulty : (N,) array_like
        Any scale, larger is harder; all finite.
    error_rate : float
        The mean of the chances, at least 0 and below 1.

    Returns
    -------
    chances : (N,) ndarray
        ``sigmoid(2 (s - s0))`` of the standardised difficulty s.
    """
    scores = np.asarray(difficulty, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise LabelError("difficulty must be finite for every particle")
    scores = STEEPNESS * _standardised(scores)
    if error_rate == 0 or not scores.size:
        return np.zeros(scores.shape)
    reach = np.abs(scores).max() + 40
    shift = brentq(lambda s0: float(expit(scores - s0).mean()) - error_rate, -reach, reach)
    chances: Floats = expit(scores - shift)
    return chances


def difficulty_of(covariates: Mapping[str, tuple[ArrayLike, int]]) -> Floats:
    """Join what makes a particle hard to tell into one number each.

    Parameters
    ----------
    covariates : mapping of str to ((N,) array_like, +1 or -1)
        Values, and whether larger is harder (+1) or easier (-1), such as
        ``{"size": (diameters_nm, -1), "tilt": (degrees, +1)}``. Values that are not known (nan)
        count as average.

    Returns
    -------
    difficulty : (N,) ndarray
        The mean of the standardised covariates; larger is harder.
    """
    if not covariates:
        raise SettingsError("difficulty needs at least one covariate")
    parts = [
        sign * _standardised(np.asarray(values, dtype=np.float64))
        for values, sign in covariates.values()
    ]
    joined: Floats = np.mean([np.nan_to_num(part) for part in parts], axis=0)
    return joined


def _wrong(
    true: Indices,
    ids: Indices,
    kind: str,
    error_rate: float,
    seed: int,
    difficulty: ArrayLike | None,
    order: ArrayLike | None,
    asymmetry: float | None,
) -> NDArray[np.bool_]:
    """Choose the particles whose own image gets a wrong label."""
    draws = hash_to_unit(ids, seed, "noise", "particle")
    n_wrong = round(error_rate * len(true))
    if kind == "sym_indep":
        return draws < error_rate
    if kind == "idn":
        return draws < flip_probabilities(_needed("difficulty", difficulty, kind, ids), error_rate)
    if kind == "order":
        return _lowest(_needed("order", order, kind, ids), ids, n_wrong)
    if kind != "asym":
        return _lowest(draws, ids, n_wrong)
    share = 1.0 if asymmetry is None else asymmetry
    if not 0 <= share <= 1:
        raise SettingsError(f"asymmetry must be 0 to 1, got {share:g}")
    wrong = np.zeros(len(true), dtype=bool)
    n_of_class_1 = round(share * n_wrong)
    for label, n in ((0, n_wrong - n_of_class_1), (1, n_of_class_1)):
        members = np.flatnonzero(true == label)
        if n > len(members):
            raise SettingsError(
                f"--error-rate {error_rate:g} with asymmetry {share:g} makes {n} labels of class "
                f"{label} wrong, but it has {len(members)} particles"
            )
        wrong[members[_lowest(draws[members], ids[members], n)]] = True
    return wrong


def _other_class(labels: Indices, ids: Indices, kind: str, n_classes: int, seed: int) -> Indices:
    """Return the wrong label that each particle would get."""
    if kind != "symmetric":
        return (labels + 1) % n_classes
    draws = hash_to_unit(ids, seed, "noise", "class")
    return (labels + 1 + (draws * (n_classes - 1)).astype(np.int64)) % n_classes


def _lowest(values: NDArray[Any], ids: Indices, n: int) -> NDArray[np.bool_]:
    """Mark the ``n`` lowest values; equal ones by id, so that row order does not matter."""
    marked = np.zeros(len(values), dtype=bool)
    marked[np.lexsort((ids, values))[:n]] = True
    return marked


def _realised(true: Indices, given: Indices, n_classes: int) -> tuple[Floats, float]:
    counts = np.bincount(true * n_classes + given, minlength=n_classes**2)
    counts = counts.reshape(n_classes, n_classes).astype(np.float64)
    return counts / counts.sum(axis=1, keepdims=True), float((true != given).mean())


def _standardised(values: Floats) -> Floats:
    known = values[~np.isnan(values)]
    spread = known.std() if known.size else 0.0
    return (values - known.mean()) / spread if spread > 0 else np.zeros(values.shape)


def _needed(name: str, values: ArrayLike | None, kind: str, ids: Indices) -> NDArray[Any]:
    if values is None:
        raise SettingsError(f"noise {kind} needs the {name} of every particle")
    array = np.asarray(values)
    if array.shape != ids.shape:
        raise SettingsError(f"{name} must have shape {ids.shape}, got {array.shape}")
    return array


def _check(true: Indices, ids: Indices, n_classes: int, swap: Indices | None) -> None:
    if true.ndim != 1 or true.shape != ids.shape:
        raise LabelError(f"particle_ids must have shape {true.shape}, got {ids.shape}")
    if n_unknown := int((true < 0).sum()):
        raise LabelError(f"true labels must be known, {n_unknown} of {true.size} are not")
    if true.size and true.max() >= n_classes:
        raise LabelError(f"true labels must be 0 to {n_classes - 1}, got {true.max()}")
    if (n_particles := np.unique(ids).size) != ids.size:
        raise LabelError(f"one row per particle is needed, got {ids.size} for {n_particles}")
    if swap is not None and not (
        np.array_equal(np.sort(swap), np.arange(n_classes))
        and np.array_equal(swap[swap], np.arange(n_classes))
    ):
        raise SettingsError(f"mirrored_class must undo itself, got {swap.tolist()}")
    seen = true if swap is None else np.concatenate([true, swap[true]])
    for label in range(n_classes):
        if not (seen == label).any():
            raise LabelError(f"class {label} has no samples, so its labels cannot be made wrong")
