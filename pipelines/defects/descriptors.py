"""Numbers that describe a patch whatever the phase of its lattice."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipelines.defects.patches import Floats, normalise

#: Widths of the blur before a patch's values are ranked, in pixels.
_WIDTHS_PX = (1.0, 2.0, 4.0)
#: The ranks that are kept: the ends say most of a single defect.
_RANKS = (0.0, 0.002, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.998, 1.0)


def describe(pixels: Floats) -> NDArray[np.float64]:
    """Rank the values of normalised patches at several blurs.

    Where a lattice begins in the patch changes raw pixels more than any defect does; ranks do not
    know where a value was.

    Parameters
    ----------
    pixels : (N, S, S) ndarray
        Patches.

    Returns
    -------
    features : (N, F) ndarray of float
    """
    normalised = normalise(pixels)
    parts = []
    for width in _WIDTHS_PX:
        blurred = gaussian_filter(normalised, (0, width, width))
        # Near the edge a blur depends on where the lattice is cut off.
        edge = min(int(2 * width), pixels.shape[1] // 4)
        inner = blurred[:, edge : blurred.shape[1] - edge, edge : blurred.shape[2] - edge]
        parts.append(np.quantile(inner.reshape(len(pixels), -1), _RANKS, axis=1).T)
    return np.concatenate(parts, axis=1)


def flatten(pixels: Floats) -> NDArray[np.float64]:
    """Return raw pixels as features, as the published detectors take them."""
    return pixels.reshape(len(pixels), -1).astype(np.float64)


def standardise(
    features: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring features to mean 0 and sd 1; one that never changes stays 0."""
    standard: NDArray[np.float64] = (features - mean) / np.where(sd > 1e-9, sd, 1.0)
    return standard
