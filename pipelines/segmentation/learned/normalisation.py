"""Grey levels of any depth to about -1 to 1, by two numbers that belong to the whole mosaic."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Percentiles that become -1 and 1: few enough pixels beyond that a hot one does not matter, and
#: enough that sparse objects are still within.
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.7
#: Beyond this a grey level says no more.
GREY_LIMIT = 2.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Normalisation:
    """Grey levels that become -1 (``low``) and 1 (``high``)."""

    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """Choose the range of a mosaic from a sample of its pixels.

        Examples
        --------
        >>> Normalisation.of(np.full(100, 7.0))
        Normalisation(low=6.5, high=7.5)
        """
        low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE)).tolist()
        if high - low < 1e-6 * max(abs(low), abs(high), 1e-6):
            # A flat image is grey, not noise blown up.
            low, high = low - 0.5, high + 0.5
        return cls(low, high)

    def apply(self, pixels: NDArray[Any]) -> Floats:
        """Normalise pixels, each for itself."""
        scale = 2.0 / (self.high - self.low)
        grey = pixels.astype(np.float32) * np.float32(scale)
        grey -= np.float32(self.low * scale + 1.0)
        return np.clip(grey, -GREY_LIMIT, GREY_LIMIT, out=grey)
