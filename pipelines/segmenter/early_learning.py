"""When a network begins to memorise wrong masks, and what is corrected then (ADELE).

At first a network learns what most masks agree on, later each mask's own mistakes. The agreement
of what it finds with the masks as they were given rises fast, then slowly; where the rise has
slowed down far enough, memorising has begun. From then on pixels that the network is sure of
are taken from it, in every epoch anew.

References
----------
.. [1] S. Liu, K. Liu, W. Zhu, Y. Shen and C. Fernandez-Granda, Adaptive early-learning correction
   for segmentation from noisy annotations, CVPR 2022.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

#: The rise has slowed down when its slope is less than a tenth of the first epoch's.
_SLOWED = 0.9
#: Three parameters are not told from fewer points.
LEAST_EPOCHS = 5
#: A network is sure of a pixel beyond this probability.
SURE = 0.8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The fitted rise ``a (1 - exp(-x**b / c))``, and the standard error of each parameter."""

    a: float
    b: float
    c: float
    errors: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    def at(self, x: Floats) -> Floats:
        """Return the curve's values."""
        return np.asarray(_rise(x, self.a, self.b, self.c))

    def slope(self, x: Floats) -> Floats:
        """Return the curve's slopes."""
        decay = np.exp(-(x**self.b) / self.c)
        return np.asarray(self.a * self.b / self.c * x ** (self.b - 1) * decay)


def fit_curve(agreement: Sequence[float]) -> Curve:
    """Fit the rise of the agreement over epochs, later ones with up to a hundred times the weight.

    Parameters
    ----------
    agreement : sequence of float
        One value per epoch, 0 to 1; at least five.
    """
    n = len(agreement)
    if n < LEAST_EPOCHS:
        raise ValueError(f"agreement must have at least {LEAST_EPOCHS} epochs, got {n}")
    # A curve that begins at 0 is not defined there for every exponent: the smallest step is.
    x = np.maximum(np.linspace(0, n, n), 1e-9)
    try:
        found, covariance = curve_fit(
            _rise,
            x,
            np.asarray(agreement, dtype=np.float64),
            p0=(1.0, 1.0, 1.0),
            sigma=np.geomspace(1.0, 0.1, n),
            bounds=([0, 0, 1e-9], [1, 1, np.inf]),
            max_nfev=5000,
        )
    except RuntimeError:
        # No fit, no decision: a straight line never slows down.
        return Curve(1.0, 1.0, math.inf)
    a, b, c = found.tolist()
    errors = np.sqrt(np.diag(covariance)).tolist()
    return Curve(a, b, c, errors=(errors[0], errors[1], errors[2]))


def trigger_epoch(curve: Curve, n_epochs: int) -> int:
    """Return the epoch, counted from 1, at which memorising begins.

    Parameters
    ----------
    curve : Curve
        The fitted rise.
    n_epochs : int
        How far to look: the last epoch, if the rise has not slowed down before.

    Examples
    --------
    >>> trigger_epoch(Curve(0.8, 1.0, 3.0), 100)
    8
    """
    if not math.isfinite(curve.c) or curve.a == 0 or curve.b == 0:
        return n_epochs
    slopes = np.abs(curve.slope(np.arange(1, n_epochs, dtype=np.float64)))
    first = abs(float(curve.slope(np.ones(1))[0]))
    if first == 0 or not math.isfinite(first):
        return n_epochs
    change = np.abs(slopes - first) / first
    change[change > 1] = 0
    return 1 + int((change <= _SLOWED).sum())


def should_correct(agreement: Sequence[float], n_epochs: int) -> bool:
    """Tell whether correction begins after the epochs that were measured so far.

    The trigger must lie behind, and have been the same for two epochs: with few points it moves.

    Parameters
    ----------
    agreement : sequence of float
        One value per epoch so far.
    n_epochs : int
        Epochs of the whole fit.
    """
    n = len(agreement)
    if n <= LEAST_EPOCHS:
        return False
    now, before = (trigger_epoch(fit_curve(agreement[:k]), n_epochs) for k in (n, n - 1))
    return now == before and n >= now


def correct_masks(
    given: NDArray[np.int32],
    confidence: NDArray[np.float32],
    foreground: NDArray[np.float32],
    found: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Correct the pixels that the network is sure of, both ways.

    Parameters
    ----------
    given : (H, W) int32 array
        Objects of the weak mask.
    confidence : (H, W) float32 array
        How far the weak mask is believed.
    foreground : (H, W) float32 array
        The network's probability of foreground.
    found : (H, W) int32 array
        The network's objects.

    Returns
    -------
    instances : (H, W) int32 array
        The network's objects where it is sure, the given ones elsewhere; a given object most of
        which is one object of the network is that one, so no sliver of it remains.
    confidence : (H, W) float32 array
        At least the network's own, where it is sure.
    """
    sure_in, sure_out = foreground > SURE, foreground < 1 - SURE
    offset = int(found.max(initial=0))
    instances = np.where(given > 0, _renamed(given, found, sure_in), 0)
    # Those that keep an id of their own lie beyond the found ones.
    instances = np.where(instances < 0, offset - instances, instances)
    instances[sure_in] = found[sure_in]
    instances[sure_out] = 0
    own = np.abs(2 * foreground - 1).astype(np.float32)
    believed = np.where(sure_in | sure_out, np.maximum(confidence, own), confidence)
    return instances.astype(np.int32), believed.astype(np.float32)


def _renamed(
    given: NDArray[np.int32], found: NDArray[np.int32], sure: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Give each given object the id of the found one that holds most of its sure pixels, or -id."""
    n_given = int(given.max(initial=0)) + 1
    names = -np.arange(n_given, dtype=np.int64)
    both = sure & (given > 0) & (found > 0)
    pairs, counts = np.unique(
        np.stack([given[both], found[both]], axis=1), axis=0, return_counts=True
    )
    area = np.bincount(given.reshape(-1), minlength=n_given)
    for (old, new), n in zip(pairs.tolist(), counts.tolist(), strict=True):
        if 2 * n > area[old]:
            names[old] = new
    return names[given]


def _rise(x: Floats, a: float, b: float, c: float) -> Floats:
    return np.asarray(a * (1 - np.exp(-(x**b) / c)))
