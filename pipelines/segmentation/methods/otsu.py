"""One threshold above the flattened background; particles split where they are narrow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.masks import distances
from pipelines.segmentation.overview import Overview, otsu
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.shapes import find_mask, mask_support_px
from pipelines.segmentation.survey import Survey

#: A threshold is at least this many standard deviations of the smoothed background.
LEAST_SIGMAS = 3.0


def least_lift(overview: Overview) -> float:
    """Return the lowest threshold that noise does not reach everywhere."""
    return max(LEAST_SIGMAS * overview.noise, 1.0)


class Otsu:
    """Global threshold, distance watershed."""

    version = 1

    def support_px(self, settings: SegmentationSettings) -> int:
        """Return the reach of mask and distance."""
        return mask_support_px(settings) + settings.max_radius_px + 1

    def lifts(self, overview: Overview) -> float | NDArray[np.float32]:
        """Part all sampled pixels in two, after Otsu."""
        if overview.settings.threshold is not None:
            return overview.settings.threshold
        lifts = overview.lifts
        beyond = lifts[lifts > otsu(lifts)]
        # A few very bright particles would lift the threshold over the dim ones.
        cap = np.median(beyond) if beyond.size else np.inf
        return max(otsu(np.minimum(lifts, cap)), least_lift(overview))

    def heights(
        self, image: NDArray[Any], window: Window, survey: Survey, settings: SegmentationSettings
    ) -> NDArray[np.uint16]:
        """Return the distance to the background."""
        mask, _ = find_mask(image, window, survey, settings)
        return distances(mask, settings.max_radius_px)


METHOD = Otsu()
