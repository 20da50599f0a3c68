"""Maps from detectors that see a patch at a time: patches are laid side by side."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.model import DefectModel
from pipelines.defects.patches import Floats, Patches, cut, plan_grid
from pipelines.records import Window

_AT_ONCE = 256


def map_by_patches(
    score_pixels: Callable[[DefectModel, Floats], Floats],
    model: DefectModel,
    image: Floats,
    window: Window,
    shape: tuple[int, int],
) -> Floats:
    """Score each pixel of a window inside the one patch of the whole image's grid that it is in.

    Parameters
    ----------
    score_pixels : callable
        Takes the model and patches (N, S, S), returns scores of the same shape.
    model : DefectModel
        Knows the edge of patches.
    image : (H, W) ndarray
        The pixels of ``window``.
    window, shape
        Where the image is from; the grid does not depend on the window.

    Returns
    -------
    scores : (H, W) ndarray
        The higher one where two patches overlap; -inf where no whole patch lies in the window.
    """
    edge = model.patch_px
    grid = plan_grid(shape, patch_px=edge, stride_px=edge) - np.array([window.y0, window.x0])
    grid = grid[((grid >= 0) & (grid + edge <= np.array(image.shape))).all(axis=1)]
    scores = np.full(image.shape, -np.inf, np.float32)
    for start in range(0, len(grid), _AT_ONCE):
        origins = grid[start : start + _AT_ONCE]
        found = score_pixels(model, cut(image, origins, edge))
        for (y, x), part in zip(origins, found, strict=True):
            place = scores[y : y + edge, x : x + edge]
            np.maximum(place, part, out=place)
    return scores


class PatchMapper(ABC):
    """What detectors share whose map is made of patches: the maximum is the patch's score."""

    quantile: float = 1.0

    @abstractmethod
    def score_pixels(self, model: DefectModel, pixels: Floats) -> Floats:
        """Score every pixel of patches (N, S, S)."""

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return the oddest place of each patch."""
        found = self.score_pixels(model, patches.pixels)
        return np.asarray(found.max(axis=(1, 2)), np.float64)

    def survey(self, model: DefectModel, pieces: Floats) -> None:
        """Learn nothing of a single image."""

    def score_map(
        self,
        model: DefectModel,
        survey: None,
        image: Floats,
        window: Window,
        shape: tuple[int, int],
    ) -> Floats:
        """Return how odd each pixel of a window is."""
        return map_by_patches(self.score_pixels, model, image, window, shape)

    def halo_px(self, survey: None) -> int:
        """Return nothing: whole patches are read in any case."""
        return 0
