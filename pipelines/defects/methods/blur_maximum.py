"""The trivial peer: how far a blurred patch strays from its own middle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Patches, normalise

#: Widths of the blur that are tried on normal patches, in pixels.
WIDTHS_PX = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class BlurMaximum:
    """Blur, and take the largest deviation from the patch's median."""

    name: str = "blur-maximum"
    summary: str = "largest deviation of the blurred patch: the trivial peer"
    diet: Diet = "clean"

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn how far normal patches stray at each width."""
        found = _deviations(patches)
        sd = np.maximum(found.std(axis=0), 1e-9)
        return DefectModel(self.name, patches.edge_px, {"mean": found.mean(axis=0), "sd": sd})

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return the largest deviation, in sds of normal patches."""
        z = (_deviations(patches) - model.arrays["mean"]) / model.arrays["sd"]
        scores: NDArray[np.float64] = z.max(axis=1)
        return scores


def _deviations(patches: Patches) -> NDArray[np.float64]:
    pixels = normalise(patches.pixels)
    found = []
    for width in WIDTHS_PX:
        blurred = gaussian_filter(pixels, (0, width, width))
        middle = np.median(blurred, axis=(1, 2), keepdims=True)
        found.append(np.abs(blurred - middle).max(axis=(1, 2)))
    return np.stack(found, axis=1).astype(np.float64)


DETECTOR = BlurMaximum()
