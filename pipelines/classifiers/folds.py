"""Grouped cross-validation: every particle is predicted by networks that never saw it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.classifiers.plan import Particles, TrainPlan, check_samples
from pipelines.errors import LabelError, SettingsError
from pipelines.evaluation.classification import fit_temperature, softmax
from pipelines.randomness import generator, hash_to_unit
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import CLEAN_SMALL, SELECT, TEST, TRAIN

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Below this, probabilities count as this much.
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Fold:
    """One training of a cross-validation.

    Attributes
    ----------
    repeat, fold : int
        Which division of the particles, and which part of it is held out.
    held_out : (n,) ndarray of int
        Rows of the particles that are predicted.
    plan : TrainPlan
        How to train on the others.
    """

    repeat: int
    fold: int
    held_out: Indices
    plan: TrainPlan

    @property
    def name(self) -> str:
        """A name for files."""
        return f"repeat-{self.repeat}-fold-{self.fold}"


def assign_folds(
    particle_ids: ArrayLike,
    given_labels: ArrayLike,
    *,
    n_folds: int,
    seed: int,
    keys: Sequence[str | int] = (),
) -> Indices:
    """Divide particles into folds of equal size and equal shares of the classes.

    A particle's mirror image and crops share its id, so they are never parted from it.

    Parameters
    ----------
    particle_ids : (N,) array_like of int
        One row per particle; their order does not matter.
    given_labels : (N,) array_like of int
        Class indices.
    n_folds : int
        Number of folds, from 2 to N.
    seed : int
        Another seed divides otherwise.
    keys : sequence of str or int
        So do other keys, such as the label version.

    Returns
    -------
    folds : (N,) ndarray of int
        0 to ``n_folds - 1``.

    Raises
    ------
    SettingsError
        If there cannot be so many folds.
    LabelError
        If a particle has several rows.
    """
    ids = np.asarray(particle_ids, dtype=np.int64)
    given = np.asarray(given_labels, dtype=np.int64)
    if n_folds < 2:
        raise SettingsError(f"--folds must be at least 2, got {n_folds}")
    if n_folds > ids.size:
        raise SettingsError(
            f"--folds must be at most the number of labelled particles, {ids.size}, got {n_folds}"
        )
    if (n_particles := np.unique(ids).size) != ids.size:
        raise LabelError(f"one row per particle is needed, got {ids.size} for {n_particles}")
    order = np.lexsort((ids, hash_to_unit(ids, seed, "folds", *keys), given))
    folds = np.empty(ids.size, dtype=np.int64)
    # Dealt out like cards, class after class: neither sizes nor classes differ by more than one.
    folds[order] = np.arange(ids.size) % n_folds
    return folds


def plan_folds(
    plan: TrainPlan,
    *,
    n_folds: int,
    n_repeats: int,
    select_share: float,
    keys: Sequence[str | int] = (),
) -> list[Fold]:
    """Plan the trainings of a cross-validation.

    Parameters
    ----------
    plan : TrainPlan
        A training on all the particles that have a given label. Roles are set anew, but trusted
        particles stay trusted wherever they are not held out.
    n_folds, n_repeats : int
        Folds, and how often the particles are divided, each time with other networks.
    select_share : float
        Share of the particles not held out that watches over training, 0 to 1.
    keys : sequence of str or int
        What else the division depends on, such as the label version.

    Returns
    -------
    folds : list of Fold
        In each, the truth is unknown to the training, but for that of trusted particles.

    Raises
    ------
    SettingsError
        If there cannot be so many folds.
    LabelError
        If particles lack a label, or a fold leaves a class without one to train on.
    """
    if (plan.given_labels == UNKNOWN).any():
        raise LabelError("cross-validation needs a given label of every particle")
    ids = plan.particles.particle_ids
    is_trusted = (plan.roles == CLEAN_SMALL) & (plan.true_labels != UNKNOWN)
    planned = []
    for repeat in range(n_repeats):
        folds = assign_folds(
            ids,
            plan.given_labels,
            n_folds=n_folds,
            seed=plan.seed,
            keys=(*keys, repeat),
        )
        for fold in range(n_folds):
            others = np.flatnonzero(folds != fold)
            draws = hash_to_unit(ids[others], plan.seed, "fold select", *keys, repeat, fold)
            n_select = max(1, round(select_share * others.size))
            roles = np.full(len(ids), TEST)
            roles[others] = TRAIN
            roles[others[np.argsort(draws, kind="stable")[:n_select]]] = SELECT
            lent = is_trusted & (folds != fold)
            roles[lent] = CLEAN_SMALL
            if is_trusted.any() and not lent.any():
                raise LabelError(f"all trusted particles fall to fold {fold}: trust more of them")
            check_samples(roles, plan.given_labels, plan.classes, plan.mirrored_class)
            seed = int(generator(plan.seed, "fold", *keys, repeat, fold).integers(2**31))
            known = np.where(lent, plan.true_labels, UNKNOWN)
            trained = replace(plan, roles=roles, true_labels=known, seed=seed)
            planned.append(Fold(repeat, fold, np.flatnonzero(folds == fold), trained))
    return planned


def pick_particles(plan: TrainPlan, rows: Indices) -> TrainPlan:
    """Leave all but some particles out of a plan."""

    def picked(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[rows]

    if plan.stored is not None:
        raise ValueError("crops that are stored cannot be picked from")
    return replace(
        plan,
        particles=Particles(*(values[rows] for values in vars(plan.particles).values())),
        roles=plan.roles[rows],
        given_labels=plan.given_labels[rows],
        true_labels=plan.true_labels[rows],
        mirrored_given_labels=picked(plan.mirrored_given_labels),
    )


def calibrate(pred_probs: Floats, given_labels: Indices) -> Floats:
    """Temper a fold's probabilities so that they fit the given labels of its held-out particles.

    Networks of different folds are sure of themselves to different degrees; only after this
    can their probabilities be compared with one threshold.
    """
    logits = np.log(np.maximum(pred_probs, _LEAST_PROBABILITY))
    return softmax(logits, temperature=fit_temperature(logits, given_labels))
