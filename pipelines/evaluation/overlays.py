"""Arrays made visible: grey levels stretched, outlines drawn, crops laid out, scale bars sized."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def stretch(image: NDArray[Any], *, low: float, high: float) -> Pixels:
    """Map grey values linearly so that ``low`` becomes 0 and ``high`` 255, clipped.

    Examples
    --------
    >>> stretch(np.array([[90, 100, 300, 900]]), low=100, high=300).tolist()
    [[0, 0, 255, 255]]
    """
    width = high - low
    if not width > 0:
        return np.full(image.shape, 128, np.uint8)
    scaled = (image.astype(np.float32) - low) * np.float32(255 / width)
    grey: Pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return grey


def contrast_limits(image: NDArray[Any], *, tail: float = 0.05) -> tuple[float, float]:
    """Return the grey values that ``tail`` and ``100 - tail`` percent of the pixels lie below.

    The tails are short, so that a few particles on much background keep their shades; where
    nearly all pixels are equal, the extremes are returned.
    """
    low, high = np.percentile(image, [tail, 100 - tail])
    if low == high:
        low, high = image.min(), image.max()
    return float(low), float(high)


def outline_mask(instances: NDArray[Any], *, width_px: int = 1) -> NDArray[np.bool_]:
    """Mark the pixels of every instance that lie at its own border.

    Parameters
    ----------
    instances : (H, W) ndarray of int
        0 is background.
    width_px : int
        Width of the outline, drawn inwards, in pixels.

    Returns
    -------
    outlines : (H, W) ndarray of bool
        The edge of the image is no border.

    Examples
    --------
    >>> outline_mask(np.array([[1, 1, 1, 0], [1, 1, 1, 2]])).astype(int).tolist()
    [[0, 0, 1, 0], [0, 0, 1, 1]]
    """
    if width_px < 1:
        raise ValueError(f"width_px must be at least 1, got {width_px}")
    border = np.zeros(instances.shape, dtype=bool)
    for shift in range(1, width_px + 1):
        down = instances[shift:] != instances[:-shift]
        border[shift:] |= down
        border[:-shift] |= down
        across = instances[:, shift:] != instances[:, :-shift]
        border[:, shift:] |= across
        border[:, :-shift] |= across
    inside: NDArray[np.bool_] = instances != 0
    return border & inside


def outline_layer(
    instances: NDArray[Any],
    colours: Mapping[int, tuple[int, int, int]],
    *,
    default: tuple[int, int, int],
    width_px: int = 1,
) -> Pixels:
    """Draw the outlines of instances on a transparent layer.

    Parameters
    ----------
    instances : (H, W) ndarray of int
        0 is background.
    colours : mapping of int to (int, int, int)
        Colour per instance, 0 to 255.
    default : (int, int, int)
        Colour of all other instances.
    width_px : int
        Width of the outline, drawn inwards, in pixels.

    Returns
    -------
    layer : (H, W, 4) ndarray of uint8
        Red, green, blue, and opacity, which is 0 or 255.
    """
    outlines = outline_mask(instances, width_px=width_px)
    ids, where = np.unique(instances[outlines], return_inverse=True)
    chosen = np.array([colours.get(int(i), default) for i in ids], np.uint8).reshape(-1, 3)
    layer = np.zeros((*instances.shape, 4), np.uint8)
    layer[outlines, :3] = chosen[where]
    layer[outlines, 3] = 255
    return layer


def outlines(grey: Pixels, layer: Pixels) -> Pixels:
    """Lay outlines over a grey image: (H, W) and (H, W, 4) give (H, W, 3)."""
    drawn = layer[..., 3:] == 255
    return np.where(drawn, layer[..., :3], grey[..., None])


def tile_crops(
    crops: NDArray[Any], *, columns: int, gaps_px: tuple[int, int] = (4, 4), fill: int = 255
) -> Pixels:
    """Lay equal crops out in rows, from the upper left.

    Parameters
    ----------
    crops : (N, S, S) ndarray of uint8
        N of at least 1.
    columns : int
        Crops per row.
    gaps_px : (int, int)
        Space between rows and between columns, in pixels.
    fill : int
        Grey value of the space between, and of places left over.
    """
    n_crops, height, width = crops.shape
    rows = math.ceil(n_crops / columns)
    gap_y, gap_x = gaps_px
    step_y, step_x = height + gap_y, width + gap_x
    sheet = np.full((rows * step_y - gap_y, columns * step_x - gap_x), fill, np.uint8)
    for index, crop in enumerate(crops):
        y, x = index // columns * step_y, index % columns * step_x
        sheet[y : y + height, x : x + width] = crop
    return sheet


def round_length(length: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above ``length``.

    Examples
    --------
    >>> round_length(730.0), round_length(199.0), round_length(0.045)
    (500.0, 100.0, 0.02)
    """
    if not length > 0:
        raise ValueError(f"length must be positive, got {length}")
    decade = 10.0 ** math.floor(math.log10(length))
    steps: Sequence[float] = (5, 2, 1)
    found = next((step * decade for step in steps if step * decade <= length), decade)
    return float(f"{found:.3g}")


def scale_bar(width_px: float, pixel_size_nm: float | None) -> tuple[float, str]:
    """Size a scale bar for an image: about a quarter of its width.

    Parameters
    ----------
    width_px : float
        Width of the image, in pixels.
    pixel_size_nm : float or None
        Edge of one of these pixels, in nanometres; None if unknown.

    Returns
    -------
    share : float
        Length of the bar as a share of the image's width.
    text : str
        Its length with unit.

    Examples
    --------
    >>> scale_bar(1000, 2.0)
    (0.25, '500 nm')
    >>> scale_bar(1000, 8.0)
    (0.25, '2 µm')
    """
    width = width_px * (pixel_size_nm or 1.0)
    length = round_length(0.3 * width)
    if pixel_size_nm is None:
        return length / width, f"{length:g} px"
    text = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    return length / width, text
