"""Weak masks from boxes: an ellipse in every box, fitted to the grey levels where they allow it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.learned.normalisation import Normalisation

#: Between these shares of the ellipse's own size a pixel may be object or not.
_SURELY_IN, _SURELY_OUT = 0.7, 1.15
#: What is believed of a pixel, of 255, surely inside, near the outline, and far from every box.
_INSIDE, _NEAR, _OUTSIDE = 255, 60, 160


def draw_box_masks(
    image: NDArray[Any], boxes_yxyx: Sequence[tuple[float, float, float, float]]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Turn boxes into instances and confidence.

    Parameters
    ----------
    image : (H, W) array
        Grey values of any depth.
    boxes_yxyx : sequence of (float, float, float, float)
        Top, left, bottom, right of each object, in pixels; smaller ones lie above larger ones.

    Returns
    -------
    instances : (H, W) int32 array
        Where the grey levels in a box fall into two, that part of the ellipse and a little
        around it which is on the side of its middle; else the ellipse.
    confidence : (H, W) uint8 array
        High in the middle of boxes, low around outlines.
    """
    grey = Normalisation.of(image).apply(image)
    instances = np.zeros(image.shape, dtype=np.int32)
    confidence = np.full(image.shape, _OUTSIDE, dtype=np.uint8)
    order = sorted(boxes_yxyx, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))
    for number, (top, left, bottom, right) in enumerate(order, start=1):
        y0, x0 = max(0, int(top) - 3), max(0, int(left) - 3)
        y1, x1 = min(image.shape[0], int(bottom) + 4), min(image.shape[1], int(right) + 4)
        if y1 - y0 < 3 or x1 - x0 < 3:
            continue
        y, x = np.mgrid[y0:y1, x0:x1]
        away = np.hypot(
            (y + 0.5 - (top + bottom) / 2) / max((bottom - top) / 2, 0.5),
            (x + 0.5 - (left + right) / 2) / max((right - left) / 2, 0.5),
        )
        mask = _follow_grey(grey[y0:y1, x0:x1], away)
        part = np.s_[y0:y1, x0:x1]
        instances[part][mask] = number
        believed = np.where(away < _SURELY_IN, _INSIDE, _NEAR)
        confidence[part] = np.where(away < _SURELY_OUT, believed, confidence[part])
    return instances, confidence


def _follow_grey(grey: NDArray[np.float32], away: NDArray[Any]) -> NDArray[np.bool_]:
    """Let the grey levels decide near the outline, if the middle stands out from around it."""
    ellipse = away < 1
    inner, outer = grey[away < _SURELY_IN], grey[away > _SURELY_OUT]
    if inner.size == 0 or outer.size == 0:
        return np.asarray(ellipse)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    middle, around = float(np.median(inner)), float(np.median(outer))
    if abs(middle - around) < 1.5 * float(np.std(outer)):
        return np.asarray(ellipse)
    side = (smooth > (middle + around) / 2) == (middle > around)
    mask = np.where(away < _SURELY_IN, True, side & (away < _SURELY_OUT))
    # What the grey levels say must still be about the box.
    agrees = (mask & ellipse).sum() > 0.6 * (mask | ellipse).sum()
    return np.asarray(mask if agrees else ellipse, dtype=np.bool_)
