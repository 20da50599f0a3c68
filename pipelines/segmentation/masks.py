"""From grey values to a mask and distances, exactly alike whichever window is looked at.

Every step here has a finite support and integer arithmetic, so a pixel's answer depends on its
surroundings alone and never on where the window that shows it begins.
"""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window

#: Heights are integers; a distance of one pixel is this many.
UNITS_PER_PX = 16
#: The largest height: 12 bits, so that height and direction share 16.
MAX_HEIGHT = 4095


def smoothing_support_px(smooth_px: float) -> int:
    """Return how far smoothing reaches, in pixels."""
    return math.ceil(3 * smooth_px)


def smooth(image: NDArray[Any], smooth_px: float) -> NDArray[Any]:
    """Smooth with a Gaussian of ``smooth_px`` standard deviation.

    Parameters
    ----------
    image : (H, W) array of uint8 or uint16
        OpenCV's fixed-point filters round alike everywhere; its floating-point ones do not.
    smooth_px : float
        Standard deviation, in pixels.
    """
    radius = smoothing_support_px(smooth_px)
    if radius == 0:
        return image
    edge = 2 * radius + 1
    result: NDArray[Any] = cv2.GaussianBlur(
        image, (edge, edge), smooth_px, borderType=cv2.BORDER_REFLECT_101
    )
    return result


def beyond(
    image: NDArray[Any],
    window: Window,
    thresholds: NDArray[Any],
    block_px: int,
    *,
    bright: bool,
) -> NDArray[np.bool_]:
    """Tell which pixels lie beyond the threshold of the block that they belong to.

    Parameters
    ----------
    image : (h, w) array
        The window's grey values.
    window : Window
        Where it lies in the mosaic.
    thresholds : (ceil(H / block_px), ceil(W / block_px)) array of the image's dtype
        One threshold per block of the mosaic.
    block_px : int
        Edge of a block, in pixels.
    bright : bool
        Whether beyond means above; otherwise below.
    """
    mask = np.empty(image.shape, dtype=np.bool_)
    compare = np.greater if bright else np.less
    for rows, row in block_rows(window, thresholds, block_px):
        compare(image[rows], row, out=mask[rows])
    return mask


def block_rows(
    window: Window, blocks: NDArray[Any], block_px: int
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Walk through a window by rows of blocks.

    Yields
    ------
    rows : slice
        Rows of the window that lie in one row of blocks.
    values : (w,) array
        What ``blocks`` holds for each of the window's columns there.
    """
    first = window.x0 // block_px
    columns = slice(first, -(-window.x1 // block_px))
    skip = window.x0 - first * block_px
    for block_y in range(window.y0 // block_px, -(-window.y1 // block_px)):
        rows = slice(
            max(block_y * block_px, window.y0) - window.y0,
            min((block_y + 1) * block_px, window.y1) - window.y0,
        )
        yield rows, np.repeat(blocks[block_y, columns], block_px)[skip : skip + window.shape[1]]


def tidy(
    mask: NDArray[np.bool_], *, hole_px: int, speck_px: int, speck_area_px: float
) -> NDArray[np.bool_]:
    """Fill small holes, and drop specks that are certainly too small to be particles.

    Parameters
    ----------
    mask : (h, w) bool array
        Components are 8-connected, holes 4-connected.
    hole_px : int
        A hole no wider and no higher than this is filled, with what lies in it.
    speck_px : int
        A component no wider and no higher than this is a speck if its bounding box is also
        smaller than ``speck_area_px``, and it does not touch the window's edge.
    speck_area_px : float
        Area that a component must have to stay, in pixels.

    Returns
    -------
    mask : (h, w) bool array
        Right at every pixel further from the window's edge than ``hole_px`` and ``speck_px``:
        whatever is small enough to be changed there lies wholly in the window.
    """
    canvas = mask.astype(np.uint8)
    contours, hierarchy = cv2.findContours(canvas, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return mask
    parents = hierarchy.reshape(-1, 4)[:, 3]
    dropped = set()
    for index in np.flatnonzero(parents < 0).tolist():
        x, y, width, height = cv2.boundingRect(contours[index])
        if (
            max(width, height) <= speck_px
            and width * height < speck_area_px
            and min(x, y) > 0
            and x + width < mask.shape[1]
            and y + height < mask.shape[0]
        ):
            cv2.fillPoly(canvas, [contours[index]], 0)
            dropped.add(index)
    for index in np.flatnonzero(parents >= 0).tolist():
        # A hole's contour runs on the particle, one pixel outside the hole.
        _, _, width, height = cv2.boundingRect(contours[index])
        if max(width, height) - 2 <= hole_px and parents[index] not in dropped:
            cv2.fillPoly(canvas, [contours[index]], 1)
    return canvas.view(np.bool_)


def distances(mask: NDArray[np.bool_], max_radius_px: int) -> NDArray[np.uint16]:
    """Measure the distance to the background, in sixteenths of a pixel, up to a limit.

    Parameters
    ----------
    mask : (h, w) bool array
        What lies beyond the window counts as mask, as beyond the mosaic.
    max_radius_px : int
        Distances above are cut to it, which gives the measure its finite support.

    Returns
    -------
    heights : (h, w) array of uint16
        0 outside the mask, at least 16 inside. Chamfer distances with a 5 x 5 mask: integers
        inside OpenCV, within 2 percent of Euclid's [1]_.

    References
    ----------
    .. [1] G. Borgefors, Distance transformations in digital images, CVGIP 34 (1986).
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.uint16)
    found = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5)
    np.minimum(found, max_radius_px, out=found)
    np.multiply(found, UNITS_PER_PX, out=found)
    result: NDArray[np.uint16] = found.astype(np.uint16)
    return result
