"""How far found label issues can be trusted: audits of a random sample, and planted canaries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import SettingsError
from pipelines.evaluation.population import wilson_interval
from pipelines.randomness import hash_to_unit

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Lower bound on precision from which proposals may be taken without a person.
ACCEPTED_PRECISION = 0.95
#: Cuts tried: the best tenth of the proposals, the best two tenths, ... all.
_N_LEVELS = 10
#: From fewer canaries no recall is estimated.
_LEAST_CANARIES = 10


@dataclass(frozen=True)
class AuditLevel:
    """What an audit says of the proposals above one score.

    Attributes
    ----------
    threshold : float
        The lowest score of the level.
    n_proposals : int
        Proposals of at least this score.
    n_audited, n_right : int
        How many of them were audited, and how many of those are right.
    lower_bound : float
        Lower end of the Wilson interval of the precision, 0 to 1; nan without an audit.
    """

    threshold: float
    n_proposals: int
    n_audited: int
    n_right: int
    lower_bound: float

    @property
    def precision(self) -> float:
        """Share of the audited proposals that are right; nan if none was audited."""
        return self.n_right / self.n_audited if self.n_audited else float("nan")


@dataclass(frozen=True)
class CanaryReport:
    """What became of labels that were made wrong on purpose.

    Attributes
    ----------
    n_canaries, n_flagged : int
        Planted, and found.
    interval : (float, float)
        Wilson interval of the share found; nan without canaries.
    recall : float
        Estimated share of all wrong labels that is found, 0 to 1. Planting makes some wrong
        labels right by chance; this is taken out. Nan where errors are too many to do so, or
        canaries fewer than ten.
    """

    n_canaries: int
    n_flagged: int
    interval: tuple[float, float]
    recall: float


def audit_levels(scores: ArrayLike, audited: ArrayLike, is_right: ArrayLike) -> list[AuditLevel]:
    """Judge the proposals above each of ten scores by those that were audited.

    Parameters
    ----------
    scores : (N,) array_like
        How sure each proposal is; any scale, larger is surer.
    audited : (N,) array_like of bool
        Which proposals somebody looked at: a random sample, drawn without regard to the score.
    is_right : (N,) array_like of bool
        Whether the proposal is right; read where audited.

    Returns
    -------
    levels : list of AuditLevel
        From the strictest to all. Which cuts are tried depends on the scores alone, never on who
        is right, and they are few: searching every cut for a good one would find one by luck.
    """
    values = np.asarray(scores, dtype=np.float64)
    seen = np.asarray(audited, dtype=bool)
    right = np.asarray(is_right, dtype=bool)
    if not values.size:
        return []
    counts = -(-values.size * np.arange(1, _N_LEVELS + 1) // _N_LEVELS)
    levels = []
    for cut in np.unique(np.sort(values)[-counts])[::-1]:
        above = values >= cut
        n_audited = int((above & seen).sum())
        n_right = int((above & seen & right).sum())
        bound = wilson_interval(n_right, n_audited)[0]
        levels.append(AuditLevel(float(cut), int(above.sum()), n_audited, n_right, bound))
    return levels


def acceptance_threshold(
    levels: Sequence[AuditLevel], *, precision: float = ACCEPTED_PRECISION
) -> float | None:
    """Return the lowest score above which the audit shows enough precision; None if nowhere."""
    good = [level.threshold for level in levels if level.lower_bound >= precision]
    return min(good, default=None)


def choose_sample(particle_ids: ArrayLike, n: int, *, seed: int, purpose: str) -> Bools:
    """Draw ``n`` particles (or all) at random, by their ids: row order does not matter."""
    ids = np.asarray(particle_ids, dtype=np.int64)
    chosen = np.zeros(ids.shape, dtype=bool)
    chosen[np.lexsort((ids, hash_to_unit(ids, seed, purpose)))[:n]] = True
    return chosen


def plant_canaries(
    given_labels: ArrayLike, particle_ids: ArrayLike, *, share: float, n_classes: int, seed: int
) -> tuple[Indices, Bools]:
    """Make the labels of a small share of particles wrong, to see how many are found.

    Parameters
    ----------
    given_labels : (N,) array_like of int
        Class indices.
    particle_ids : (N,) array_like of int
        One row per particle.
    share : float
        Share of the particles, at least 0 and at most 0.1: more would spoil what is learnt.
    n_classes : int
        Number of classes.
    seed : int
        Another seed draws others.

    Returns
    -------
    labels : (N,) ndarray of int
        Labels to train on, canaries included.
    is_canary : (N,) ndarray of bool
        Whose label was changed; to be left out of every result.
    """
    if not 0 <= share <= 0.1:
        raise SettingsError(f"--canaries must be 0 to 0.1, got {share:g}")
    given = np.asarray(given_labels, dtype=np.int64)
    ids = np.asarray(particle_ids, dtype=np.int64)
    is_canary = choose_sample(ids, round(share * given.size), seed=seed, purpose="canaries")
    draws = hash_to_unit(ids, seed, "canary class")
    other = (given + 1 + (draws * (n_classes - 1)).astype(np.int64)) % n_classes
    return np.where(is_canary, other, given), is_canary


def report_canaries(
    flagged: ArrayLike, is_canary: ArrayLike, *, error_rate: float, n_classes: int
) -> CanaryReport:
    """Estimate from canaries which share of the wrong labels is found.

    Parameters
    ----------
    flagged, is_canary : (N,) array_like of bool
        What was found, and what was planted.
    error_rate : float
        Estimated share of wrong labels among the others, 0 to 1.
    n_classes : int
        Number of classes.
    """
    found, planted = np.asarray(flagged, dtype=bool), np.asarray(is_canary, dtype=bool)
    n, n_found = int(planted.sum()), int((planted & found).sum())
    recall = float("nan")
    # A changed wrong label may become the right one, and should not be found then.
    lucky = error_rate / (n_classes - 1)
    # Of the canaries (1 - lucky) r + lucky f are found, of the others e r + (1 - e) f, where f
    # is the share of right labels that is flagged: two equations for r.
    weight = (1 - lucky) - lucky * error_rate / max(1 - error_rate, 1e-9)
    if n >= _LEAST_CANARIES and weight > 0.05:
        of_others = float(found[~planted].mean()) if not planted.all() else 0.0
        recall = (n_found / n - lucky * of_others / (1 - error_rate)) / weight
        recall = float(np.clip(recall, 0, 1))
    return CanaryReport(n, n_found, wilson_interval(n_found, n), recall)
