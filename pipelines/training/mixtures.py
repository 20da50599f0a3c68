"""Two populations of losses: labels that fit what was learnt, and labels that do not.

Losses of right labels fall first. A mixture of two distributions over the losses of all training
samples tells how likely each label is to be wrong. Where no two populations can be seen, the
given labels are believed: that is what training did before.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

Floats = NDArray[np.float64]

_N_BINS = 100
#: Beta densities may have no finite value at 0 and 1.
_EDGE = 1e-3
#: A component that fits fewer samples than this many keeps its shape.
_LEAST_COMPONENT = 1e-6
#: The least variance, so that equal losses give a narrow component and not an infinite one.
_LEAST_VARIANCE = 1e-6
#: A Gaussian component below this weight, or a low population below this share, is a collapse.
_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class BetaMixture:
    """Two beta distributions over scaled losses; the second has the higher mean.

    Attributes
    ----------
    alphas, betas, weights : (2,) ndarray
        Shapes and weights among the losses that were fitted; weights sum to 1.
    lowest, highest : float
        Losses that scale to 0 and 1; what lies outside counts as 0 or 1.
    lookup : (100,) ndarray
        Probability of the high component by scaled loss, non-decreasing.
    """

    alphas: Floats
    betas: Floats
    weights: Floats
    lowest: float
    highest: float
    lookup: Floats

    def posterior_high(self, losses: Floats) -> Floats:
        """Return how likely each loss (N,) belongs to the high component, 0 to 1."""
        scaled = _scaled(_checked(losses), self.lowest, self.highest)
        bins = np.minimum((scaled * _N_BINS).astype(np.int64), _N_BINS - 1)
        return self.lookup[bins]


def fit_beta_mixture(
    losses: Floats, *, n_steps: int = 10, trimmed_percent: float = 5.0
) -> BetaMixture:
    """Fit two beta distributions to losses by expectation and maximisation.

    Parameters
    ----------
    losses : (N,) ndarray
        One per training sample, finite, N at least 1. Scaled to [0, 1], clipped to [0.001, 0.999].
    n_steps : int
        Steps, positive. The published ten tell the populations apart, but leave their weights
        up to 0.1 from where 200 steps arrive.
    trimmed_percent : float
        How many losses at either end are left out of the fit, 0 to below 50.

    Returns
    -------
    mixture : BetaMixture
        Where losses do not differ, its posterior is 0: all labels are believed.

    Notes
    -----
    The maximisation matches weighted moments. Published code lets the posterior stay at its
    maximum for all losses beyond it. Here it is also not allowed to rise again towards low losses,
    where the tail of a wide high component may outweigh a narrow low one.

    References
    ----------
    E. Arazo et al., Unsupervised Label Noise Modeling and Loss Correction, ICML 2019,
    arXiv:1904.11238.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be positive, got {n_steps}")
    if not 0 <= trimmed_percent < 50:
        raise ValueError(f"trimmed_percent must be 0 to below 50, got {trimmed_percent}")
    losses = _checked(losses)
    ends = np.percentile(losses, [trimmed_percent, 100 - trimmed_percent])
    lowest, highest = float(ends[0]), float(ends[1])
    kept = losses[(losses >= lowest) & (losses <= highest)]
    values = _scaled(kept if kept.size > 1 else losses, lowest, highest)
    alphas, betas, weights = _fit_scaled(np.clip(values, _EDGE, 1 - _EDGE), n_steps)
    if _is_one_value(lowest, highest):
        lookup = np.zeros(_N_BINS)
    else:
        lookup = _monotone_lookup(alphas, betas, weights)
    return BetaMixture(alphas, betas, weights, lowest, highest, lookup)


def gaussian_low_posterior(losses: Floats, *, fallback_share: float = 0.5) -> Floats:
    """Return how likely each loss belongs to the lower of two Gaussian populations.

    Parameters
    ----------
    losses : (N,) ndarray
        One per training sample, finite, N at least 1; scaled to [0, 1] for the fit.
    fallback_share : float
        If the fit collapses (a component below 5 % weight, or fewer than 5 % of samples in the low
        one), this quantile splits the losses instead: 1 up to it, 0 above.

    Returns
    -------
    posterior : (N,) ndarray
        0 to 1, never rising with the loss: beyond either mean it stays what it is at the mean, as
        otherwise the wider component would take both ends.

    References
    ----------
    J. Li, R. Socher, S. Hoi, DivideMix, ICLR 2020, arXiv:2002.07394.
    """
    if not 0 < fallback_share < 1:
        raise ValueError(f"fallback_share must be between 0 and 1, got {fallback_share}")
    losses = _checked(losses)
    split = (losses <= np.quantile(losses, fallback_share)).astype(np.float64)
    lowest, highest = float(losses.min()), float(losses.max())
    if _is_one_value(lowest, highest):
        return split
    values = _scaled(losses, lowest, highest)
    # The settings of the official code; the seed makes a trial repeatable.
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        # Ten steps are a setting, not a failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values[:, None])
    means = mixture.means_[:, 0]
    low = int(means.argmin())
    between = np.clip(values, means.min(), means.max())
    posterior: Floats = mixture.predict_proba(between[:, None])[:, low]
    # Written so that nan counts as a collapse as well.
    sound = mixture.weights_.min() >= _LEAST_SHARE and (posterior > 0.5).mean() >= _LEAST_SHARE
    return posterior if sound else split


def _fit_scaled(values: Floats, n_steps: int) -> tuple[Floats, Floats, Floats]:
    """Return alphas, betas and weights for values inside (0, 1), the lower mean first."""
    alphas, betas, weights = np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0.5, 0.5])
    for _ in range(n_steps):
        high = _posterior_high(values, alphas, betas, weights)
        shares = np.stack([1 - high, high])
        totals = shares.sum(axis=1)
        for component in np.flatnonzero(totals > _LEAST_COMPONENT):
            parts = shares[component] / totals[component]
            mean = float(parts @ values)
            variance = max(float(parts @ (values - mean) ** 2), _LEAST_VARIANCE)
            alphas[component] = mean * (mean * (1 - mean) / variance - 1)
            betas[component] = alphas[component] * (1 - mean) / mean
        weights = totals / totals.sum()
    order = np.argsort(alphas / (alphas + betas), kind="stable")
    return alphas[order], betas[order], weights[order]


def _posterior_high(values: Floats, alphas: Floats, betas: Floats, weights: Floats) -> Floats:
    """Return the second component's share of the density, from logarithms."""
    with np.errstate(divide="ignore"):
        log_odds = np.log(weights[1]) - np.log(weights[0])
    log_odds = log_odds - betaln(alphas[1], betas[1]) + betaln(alphas[0], betas[0])
    log_odds = log_odds + (alphas[1] - alphas[0]) * np.log(values)
    return np.asarray(expit(log_odds + (betas[1] - betas[0]) * np.log1p(-values)))


def _monotone_lookup(alphas: Floats, betas: Floats, weights: Floats) -> Floats:
    middles = (np.arange(_N_BINS) + 0.5) / _N_BINS
    lookup = _posterior_high(middles, alphas, betas, weights)
    # The maximum is looked for above the low component: below it can only be a tail's.
    start = int(np.searchsorted(middles, alphas[0] / (alphas[0] + betas[0])))
    start = min(start, _N_BINS - 1)
    peak = start + int(lookup[start:].argmax())
    lookup[peak:] = lookup[peak]
    return np.minimum.accumulate(lookup[::-1])[::-1].copy()


def _checked(losses: Floats) -> Floats:
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"losses must have shape (N,) with N above 0, got {values.shape}")
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"losses must be finite, got {n_bad} of {values.size} that are not")
    return values


def _is_one_value(lowest: float, highest: float) -> bool:
    # Differences of rounding are none.
    return highest - lowest <= 1e-9 * max(1.0, abs(highest))


def _scaled(losses: Floats, lowest: float, highest: float) -> Floats:
    if _is_one_value(lowest, highest):
        return np.full(losses.shape, 0.5)
    return np.clip((losses - lowest) / (highest - lowest), 0.0, 1.0)
