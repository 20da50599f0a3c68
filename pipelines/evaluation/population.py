"""How much of a population belongs to a class: the ratio, its interval, and its correction."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm


@dataclass(frozen=True)
class ClassRatio:
    """A share of a population with its interval, all between 0 and 1; nan where nothing counts."""

    n_class: int
    n_total: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class CorrectedRatio:
    """A share of a population, freed of the classifier's known errors."""

    ratio: float
    low: float
    high: float


def wilson_interval(n_class: int, n_total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Parameters
    ----------
    n_class, n_total : int
        Members of the class, and of the population.
    level : float
        Coverage, 0 to 1.

    Returns
    -------
    low, high : float
        0 to 1; nan for an empty population.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).

    Examples
    --------
    >>> [round(float(x), 4) for x in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    if not 0 <= n_class <= n_total:
        raise ValueError(f"n_class must be 0 to n_total, got {n_class} of {n_total}")
    if n_total == 0:
        return math.nan, math.nan
    z = float(norm.ppf((1 + level) / 2))
    share = n_class / n_total
    centre = share + z**2 / (2 * n_total)
    spread = z * math.sqrt(share * (1 - share) / n_total + z**2 / (4 * n_total**2))
    scale = 1 + z**2 / n_total
    # At the ends the interval includes 0 and 1 exactly; rounding must not take that away.
    low = 0.0 if n_class == 0 else (centre - spread) / scale
    high = 1.0 if n_class == n_total else (centre + spread) / scale
    return low, high


def class_ratio(n_class: int, n_total: int, *, level: float = 0.95) -> ClassRatio:
    """Return the share of a class among independent particles, with Wilson's interval."""
    low, high = wilson_interval(n_class, n_total, level=level)
    ratio = n_class / n_total if n_total else math.nan
    return ClassRatio(n_class, n_total, ratio, low, high)


def corrected_ratio(observed: float, *, true_positive: float, false_positive: float) -> float:
    """Free an observed share of the errors of the classifier that counted it.

    ``(q - FPR) / (TPR - FPR)``, clipped to 0..1: unbiased wherever clipping is not needed.

    Parameters
    ----------
    observed : float
        Share predicted to be of the class, 0 to 1.
    true_positive, false_positive : float
        Shares of true members, and of others, that the classifier puts into the class.

    Returns
    -------
    ratio : float
        0 to 1; nan if the classifier does no better than chance, as then nothing can be said.

    Examples
    --------
    >>> round(corrected_ratio(0.26, true_positive=0.9, false_positive=0.1), 3)
    0.2
    """
    gain = true_positive - false_positive
    if not gain > 0:
        return math.nan
    return min(1.0, max(0.0, (observed - false_positive) / gain))


def correct_ratio_by_test(
    *,
    n_predicted: int,
    n_total: int,
    n_true_positive: int,
    n_positive: int,
    n_false_positive: int,
    n_negative: int,
    level: float = 0.95,
    n_resamples: int = 4000,
    rng: np.random.Generator,
) -> CorrectedRatio:
    """Correct a population's share by a test set, with an interval that knows both are finite.

    Parameters
    ----------
    n_predicted, n_total : int
        Particles of the population that are predicted to be of the class, and all.
    n_true_positive, n_positive : int
        Test particles of the class that are predicted so, and all of the class.
    n_false_positive, n_negative : int
        Test particles of other classes that are predicted to be of it, and all of others.
    level : float
        Coverage, 0 to 1.
    n_resamples : int
        Bootstrap resamples of population and test set.
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    corrected : CorrectedRatio
        Nan where the population or a side of the test set is empty, or the classifier is no
        better than chance.
    """
    nothing = CorrectedRatio(math.nan, math.nan, math.nan)
    if 0 in (n_total, n_positive, n_negative):
        return nothing
    observed = n_predicted / n_total
    true_positive = n_true_positive / n_positive
    false_positive = n_false_positive / n_negative
    ratio = corrected_ratio(observed, true_positive=true_positive, false_positive=false_positive)
    if math.isnan(ratio):
        return nothing
    # Independent particles: resampling them is drawing their counts.
    q = rng.binomial(n_total, observed, n_resamples) / n_total
    tpr = rng.binomial(n_positive, true_positive, n_resamples) / n_positive
    fpr = rng.binomial(n_negative, false_positive, n_resamples) / n_negative
    # Where a resampled classifier is no better than chance, any ratio may be behind it.
    usable = tpr > fpr
    draws = np.clip((q - fpr) / np.where(usable, tpr - fpr, 1), 0, 1)
    low = np.quantile(np.where(usable, draws, 0), (1 - level) / 2)
    high = np.quantile(np.where(usable, draws, 1), (1 + level) / 2)
    return CorrectedRatio(ratio, float(low), float(high))
