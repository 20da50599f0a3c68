"""The steps that the methods share, from grey values to a tidy mask."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.masks import beyond, smooth, smoothing_support_px, tidy
from pipelines.segmentation.settings import AUTO_SMOOTH_PX, SegmentationSettings
from pipelines.segmentation.survey import Survey

#: Specks up to this wide are dropped early; larger ones wait for the size filter.
SPECK_PX = 16


def mask_support_px(settings: SegmentationSettings) -> int:
    """Return how far a pixel of the mask may depend on others, in pixels."""
    # Before the mosaic is looked at, the most that may be chosen counts.
    widest = AUTO_SMOOTH_PX[-1] if settings.smooth_px is None else settings.smooth_px
    # One pixel around a hole tells that it is closed.
    return smoothing_support_px(widest) + max(settings.fill_holes_px, SPECK_PX) + 1


def find_mask(
    image: NDArray[Any], window: Window, survey: Survey, settings: SegmentationSettings
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Smooth, threshold, fill holes and drop specks.

    Returns
    -------
    mask : (h, w) bool array
        Which pixels are particles.
    smoothed : (h, w) array
        The smoothed grey levels.
    """
    smoothed = smooth(image, survey.smooth_px)
    mask = beyond(smoothed, window, survey.thresholds, survey.block_px, bright=survey.bright)
    if not mask.any():
        return mask, smoothed
    least = settings.min_diameter_px or 0.0
    tidied = tidy(
        mask,
        hole_px=settings.fill_holes_px,
        speck_px=SPECK_PX,
        speck_area_px=math.pi / 4 * least**2,
    )
    return tidied, smoothed
