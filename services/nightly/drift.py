"""Is the population still the one it was? Measures of a night against those of earlier nights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Floats = NDArray[np.float64]

#: Bins of the stability index: deciles of the earlier nights.
N_BINS = 10
#: An index from which a population counts as another one, by convention in credit scoring.
PSI_LIMIT = 0.25
#: What the index exceeds by chance once in a thousand nights must be exceeded too.
_CHANCE = 0.999
#: Robust z from which a value is an outlier (Iglewicz and Hoaglin 1993).
Z_LIMIT = 3.5
#: Earlier nights that a robust z needs.
MIN_NIGHTS = 5
#: Particles that a measure needs, on either side.
MIN_PARTICLES = 20


@dataclass(frozen=True)
class Spread:
    """A measure's values in a few numbers.

    ``error`` is the standard error of the median, or of the share where the values are 0 and 1.
    """

    n: int
    low: float
    middle: float
    high: float
    error: float


@dataclass(frozen=True)
class Drift:
    """How far a measure is from earlier nights.

    ``psi`` is the population stability index, which is flagged from ``psi_limit`` on; ``z`` the
    robust z of the night's median (or share) among those of earlier nights, flagged from
    `Z_LIMIT`. Each is nan where there is too little to say anything.
    """

    measure: str
    psi: float
    psi_limit: float
    z: float

    @property
    def is_flagged(self) -> bool:
        """Whether the population has changed more than chance explains."""
        return self.psi >= self.psi_limit or abs(self.z) >= Z_LIMIT

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-like values: numbers that are not known as None."""
        values = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }
        return {**values, "flagged": self.is_flagged}


def describe(values: Floats) -> Spread:
    """Describe a night's values of a measure: quartiles and the error of the middle.

    Examples
    --------
    >>> spread = describe(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    >>> spread.n, spread.low, spread.middle, spread.high
    (5, 2.0, 3.0, 4.0)
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return Spread(0, *[math.nan] * 4)
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    # The median of a normal sample wavers 1.2533 times as much as its mean.
    error = 1.2533 * (high - low) / 1.349 / math.sqrt(known.size)
    return Spread(int(known.size), float(low), float(middle), float(high), float(error))


def describe_share(n_class: int, n_total: int) -> Spread:
    """Describe the share of a class: the share itself, and one standard error to either side."""
    if not n_total:
        return Spread(0, *[math.nan] * 4)
    share = n_class / n_total
    # A class that is missing may be rare; half a particle keeps its error from being zero.
    kept = (n_class + 0.5) / (n_total + 1)
    error = math.sqrt(kept * (1 - kept) / n_total)
    return Spread(n_total, max(0.0, share - error), share, min(1.0, share + error), error)


def stability_index(earlier: Floats, now: Floats) -> tuple[float, float]:
    """Return the population stability index of two samples, and the limit that it is held to.

    The sum over bins of ``(p - q) ln(p / q)``, bins being deciles of the earlier sample. Were
    both samples of one population, it would follow ``(1/n + 1/m)`` times a chi-squared variable:
    small samples waver, so the limit is the usual 0.25, or more where chance alone gives more.

    Parameters
    ----------
    earlier, now : (m,), (n,) ndarray
        Values; those that are not finite are left out.

    Returns
    -------
    psi, limit : float
        Nan where either side has fewer than `MIN_PARTICLES`.

    References
    ----------
    B. Yurdakul, "Statistical properties of population stability index", 2018.
    """
    earlier, now = earlier[np.isfinite(earlier)], now[np.isfinite(now)]
    if min(len(earlier), len(now)) < MIN_PARTICLES:
        return math.nan, math.nan
    inner = np.unique(np.quantile(earlier, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(inner, values, side="right"), minlength=len(inner) + 1)
        for values in (earlier, now)
    ]
    # Half a particle in every bin keeps an empty one from being infinitely far away.
    p, q = ((c + 0.5) / (c + 0.5).sum() for c in counts)
    by_chance = chi2.ppf(_CHANCE, len(inner)) * (1 / len(earlier) + 1 / len(now))
    return float(((p - q) * np.log(p / q)).sum()), max(PSI_LIMIT, float(by_chance))


def robust_z(earlier: Sequence[Spread], now: Spread) -> float:
    """Return how far a night's middle is from those of earlier nights, in robust deviations.

    The deviation is that of the earlier middles (1.4826 times their median absolute deviation)
    and the night's own error together. Nan where there are too few nights or particles.
    """
    middles = np.array([spread.middle for spread in earlier if spread.n >= MIN_PARTICLES])
    if len(middles) < MIN_NIGHTS or now.n < MIN_PARTICLES:
        return math.nan
    centre = float(np.median(middles))
    between = 1.4826 * float(np.median(np.abs(middles - centre)))
    deviation = math.hypot(between, now.error)
    return (now.middle - centre) / deviation if deviation else math.nan


def judge(
    measure: str,
    history: Sequence[Spread],
    now: Spread,
    *,
    pooled: tuple[Floats, Floats] | None = None,
) -> Drift:
    """Hold a measure against earlier nights.

    Parameters
    ----------
    measure : str
        Its name.
    history : sequence of Spread
        Of earlier nights.
    now : Spread
        Of this night.
    pooled : (ndarray, ndarray), optional
        Values of earlier nights together, and of this one, where they are comparable.
    """
    psi, limit = stability_index(*pooled) if pooled else (math.nan, math.nan)
    return Drift(measure, psi, limit, robust_z(history, now))


def to_spreads(population: Mapping[str, Mapping[str, Any]]) -> dict[str, Spread]:
    """Read what a night's row says of its population."""
    names = ("low", "middle", "high", "error")
    return {
        measure: Spread(
            int(values["n"]),
            *(math.nan if values[name] is None else float(values[name]) for name in names),
        )
        for measure, values in population.items()
    }
