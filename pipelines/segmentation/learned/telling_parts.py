"""Which parts of an image tell how wide its objects are: those that show the most at that size."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

#: An image is looked at over so many object widths at a time, in so many places.
_EDGE_WIDTHS, _N_PARTS = 12, 3
#: Places are weighed at a scale at which an object would be so wide, in pixels.
_COARSE_WIDTH_PX = 8.0
#: What is narrower or wider than an object by these shares of its width does not count.
_FINE_SHARE, _BROAD_SHARE = 0.12, 0.5

Floats = NDArray[np.float32]


def telling_parts(image: Floats, width_px: float) -> list[Floats]:
    """Choose the squares of an image that vary the most at the size of objects.

    What varies more slowly is what objects lie on, and the edge of a bright support says nothing
    of the dim particles upon it.

    Parameters
    ----------
    image : (H, W) float32 array
        Grey values.
    width_px : float
        Width of the objects in question.

    Returns
    -------
    parts : list of arrays
        Views of the image, up to three, each twelve widths wide or all there is, which do not
        overlap.
    """
    height, width = image.shape
    edge_px = math.ceil(_EDGE_WIDTHS * width_px)
    rows, columns = _starts(height, edge_px), _starts(width, edge_px)
    if len(rows) * len(columns) == 1:
        return [image]
    busy = _busyness(image, width_px)
    scale = busy.shape[0] / height, busy.shape[1] / width
    total = cv2.integral(busy)

    def busy_in(y: int, x: int) -> float:
        (top, bottom), (left, right) = (
            (round(start * by), min(round((start + edge_px) * by), size))
            for start, by, size in zip((y, x), scale, busy.shape, strict=True)
        )
        return float(
            total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        )

    places = sorted(((busy_in(y, x), y, x) for y in rows for x in columns), reverse=True)
    chosen: list[tuple[int, int]] = []
    for _, y, x in places:
        if all(max(abs(y - b), abs(x - a)) >= edge_px for b, a in chosen):
            chosen.append((y, x))
        if len(chosen) == _N_PARTS:
            break
    return [image[y : y + edge_px, x : x + edge_px] for y, x in chosen]


def _starts(size: int, edge_px: int) -> list[int]:
    """Return where squares begin along an axis: half an edge apart, or a little less."""
    spare = max(size - edge_px, 0)
    n = 1 + math.ceil(spare / (edge_px / 2))
    return [i * spare // max(n - 1, 1) for i in range(n)]


def _busyness(image: Floats, width_px: float) -> Floats:
    """Return how each place differs from around it at the size of objects, on a coarser grid."""
    factor = min(1.0, _COARSE_WIDTH_PX / width_px)
    height, width = image.shape
    size = max(1, round(width * factor)), max(1, round(height * factor))
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    fine, broad = (
        cv2.GaussianBlur(coarse, (0, 0), share * width_px * factor)
        for share in (_FINE_SHARE, _BROAD_SHARE)
    )
    # Not squared: one bright thing is not many objects.
    return np.asarray(np.abs(fine - broad), dtype=np.float32)
