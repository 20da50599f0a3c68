"""Is the class confounded with the image, the session or the brightness? Then a score is a leak."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.patches import Floats
from pipelines.evaluation.anomaly import score_curve

Strings = NDArray[np.str_]
Bools = NDArray[np.bool_]

#: An area under the curve above this, from what must not matter, is a leak.
SUSPICIOUS_AUC = 0.75
#: So much better on a random split than on unseen images is a leak too.
SUSPICIOUS_GAP = 0.1
_FOLDS, _TREES = 5, 50
_MOST_PATCHES = 4000


@dataclass(frozen=True)
class Leak:
    """What a guess that knows nothing of defects reaches.

    Attributes
    ----------
    what : str
        What it knows instead.
    random_auc, grouped_auc : float
        ROC-AUC on patches of known images, and on images never seen; nan if not to be had.
    is_suspicious : bool
        Whether a detector could seem good by this alone.
    said : str
        One sentence.
    """

    what: str
    random_auc: float
    grouped_auc: float
    is_suspicious: bool
    said: str


def find_leaks(
    pixels: Floats,
    is_defect: Bools,
    images: Strings,
    sessions: Strings | None = None,
    *,
    rng: np.random.Generator,
) -> list[Leak]:
    """Ask how well image, session and brightness alone tell defects.

    Parameters
    ----------
    pixels : (N, S, S) ndarray
        Patches.
    is_defect : (N,) ndarray of bool
        Their labels.
    images, sessions : (N,) ndarray of str
        Where they are from.
    rng : numpy.random.Generator
        Splits them.

    Returns
    -------
    leaks : list of Leak
        Suspicious ones first.
    """
    if not is_defect.any() or is_defect.all():
        return []
    groups = {"image": images} if sessions is None else {"image": images, "session": sessions}
    found = [_by_name(what, names, is_defect) for what, names in groups.items()]
    chosen = _some_rows(is_defect, rng)
    features = {
        "mean brightness": pixels.mean(axis=(1, 2))[:, None],
        "contrast": pixels.std(axis=(1, 2))[:, None],
    }
    by = images if sessions is None or len(np.unique(sessions)) < 2 else sessions
    for what, values in features.items():
        found.append(_by_forest(what, values[chosen], is_defect[chosen], by[chosen], rng))
    return sorted(found, key=lambda leak: not leak.is_suspicious)


def _by_name(what: str, names: Strings, is_defect: Bools) -> Leak:
    """Guess a patch's class by how many of the *other* patches of its group are defects."""
    _, index = np.unique(names, return_inverse=True)
    n_of, n_bad = np.bincount(index), np.bincount(index, weights=is_defect)
    others = np.maximum(n_of[index] - 1, 1)
    rate = (n_bad[index] - is_defect) / others
    # A group of one says nothing of itself; the tiny slope keeps equal rates from being labels.
    rate = np.where(n_of[index] > 1, rate, is_defect.mean()) + 1e-9 * n_of[index]
    auc = score_curve(rate + 1e-12 * np.arange(len(rate)), is_defect).roc_auc
    suspicious = auc > SUSPICIOUS_AUC
    n_with = int((n_bad > 0).sum())
    said = (
        f"{n_with} of {len(n_of)} {what}s hold all defects; knowing the {what} alone gives a "
        f"ROC-AUC of {auc:.2f} on a random split."
    )
    return Leak(what, auc, float("nan"), suspicious, said)


def _by_forest(
    what: str, values: NDArray[np.float64], is_defect: Bools, groups: Strings,
    rng: np.random.Generator,
) -> Leak:  # fmt: skip
    """Let a forest guess the class from one number of the patch."""
    n = len(values)
    folds = {"random": rng.permutation(n) % _FOLDS, "grouped": _group_folds(groups, rng)}
    auc = {}
    for name, fold in folds.items():
        guessed = _guess(values, is_defect, fold, rng)
        known = np.isfinite(guessed)
        both = is_defect[known].any() and not is_defect[known].all()
        auc[name] = score_curve(guessed[known], is_defect[known]).roc_auc if both else float("nan")
    gap = auc["random"] - auc["grouped"]
    suspicious = auc["random"] > SUSPICIOUS_AUC or gap > SUSPICIOUS_GAP + 0.1
    said = (
        f"A forest that sees nothing but a patch's {what} reaches a ROC-AUC of "
        f"{auc['random']:.2f} on a random split"
        + ("." if np.isnan(auc["grouped"]) else f", and {auc['grouped']:.2f} on unseen groups.")
    )
    return Leak(what, auc["random"], auc["grouped"], bool(suspicious), said)


def _guess(
    values: NDArray[np.float64], is_defect: Bools, fold: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:  # fmt: skip
    from sklearn.ensemble import RandomForestClassifier

    guessed = np.full(len(values), np.nan)
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        if not is_defect[train].any() or is_defect[train].all():
            continue
        forest = RandomForestClassifier(
            _TREES,
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=int(rng.integers(2**31)),
        )
        forest.fit(values[train], is_defect[train])
        guessed[test] = forest.predict_proba(values[test])[:, 1]
    # Ties are broken by lot, lest few different values look like hard labels.
    return guessed + 1e-9 * rng.random(len(guessed))


def _group_folds(groups: Strings, rng: np.random.Generator) -> NDArray[np.int64]:
    names, index = np.unique(groups, return_inverse=True)
    fold: NDArray[np.int64] = (rng.permutation(len(names)) % _FOLDS)[index]
    return fold


def _some_rows(is_defect: Bools, rng: np.random.Generator) -> NDArray[np.int64]:
    """Keep all defects and enough of the others."""
    others = rng.permutation(np.flatnonzero(~is_defect))[:_MOST_PATCHES]
    return np.sort(np.concatenate([np.flatnonzero(is_defect), others]))
