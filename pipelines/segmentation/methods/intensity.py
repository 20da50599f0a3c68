"""One threshold after Otsu; particles split where their grey levels dip between two peaks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.masks import MAX_HEIGHT, UNITS_PER_PX, block_rows
from pipelines.segmentation.methods.otsu import Otsu
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.shapes import find_mask, mask_support_px
from pipelines.segmentation.survey import Survey


class Intensity(Otsu):
    """Global threshold, watershed on smoothed grey levels: for blobs with one bright middle.

    A grey level's height is its share of the typical contrast, 64 pixels' worth at twice that.
    """

    version = 1

    def support_px(self, settings: SegmentationSettings) -> int:
        """Return the reach of the mask."""
        return mask_support_px(settings) + 1

    def heights(
        self, image: NDArray[Any], window: Window, survey: Survey, settings: SegmentationSettings
    ) -> NDArray[np.uint16]:
        """Return how far the smoothed grey levels lie beyond the threshold."""
        mask, smoothed = find_mask(image, window, survey, settings)
        # Integers all the way: a product of floats could round otherwise in another window.
        per_level = max(1, round(32 * UNITS_PER_PX * 256 / max(survey.contrast, 1.0)))
        heights = np.zeros(mask.shape, dtype=np.uint16)
        for rows, thresholds in block_rows(window, survey.thresholds, survey.block_px):
            lift = smoothed[rows].astype(np.int64) - thresholds
            lift = lift if survey.bright else -lift
            units = np.clip(lift * per_level >> 8, 1, MAX_HEIGHT)
            heights[rows] = np.where(mask[rows], units, 0)
        return heights


METHOD = Intensity()
