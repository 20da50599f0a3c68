"""TIFF and EXIF orientation: pixels as a viewer shows them.

Four of the eight orientations mirror the image, which flips handedness; so the tag is applied
once, here, to every format, and nothing downstream knows of it. An orientation is: transpose or
not, then flip rows or not, then flip columns or not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window

#: Orientation -> (transpose, flip y, flip x) that turn stored pixels into shown ones.
_STEPS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def known_orientation(value: Any) -> int:
    """Return the orientation, or 1 for a value that means nothing, as viewers do."""
    return int(value) if isinstance(value, int) and value in _STEPS else 1


def swaps_axes(orientation: int) -> bool:
    """Tell whether rows are stored as columns."""
    return _STEPS[orientation][0]


def shown_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the shape that a viewer shows an image of stored ``shape`` with."""
    return (shape[1], shape[0]) if swaps_axes(orientation) else shape


def show(block: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn stored pixels, (H, W) or (H, W, samples), into shown ones."""
    transpose, flip_y, flip_x = _STEPS[orientation]
    if transpose:
        block = np.swapaxes(block, 0, 1)
    if flip_y:
        block = block[::-1]
    if flip_x:
        block = block[:, ::-1]
    return block


def stored_window(window: Window, shape: tuple[int, int], orientation: int) -> Window:
    """Find where the shown rectangle ``window`` lies in the stored image of ``shape``."""
    transpose, flip_y, flip_x = _STEPS[orientation]
    height, width = shown_shape(shape, orientation)
    y0, x0, y1, x1 = window
    if flip_y:
        y0, y1 = height - y1, height - y0
    if flip_x:
        x0, x1 = width - x1, width - x0
    return Window(x0, y0, x1, y1) if transpose else Window(y0, x0, y1, x1)
