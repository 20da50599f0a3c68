"""Patches as pictures in reports on defects: a gallery at one scale, a ring at the oddest place."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipelines.defects.patches import normalise
from pipelines.evaluation.drawing import SERIES, rgb
from pipelines.evaluation.overlays import contrast_limits, scale_bar, stretch
from services.report.embedding import FigureFolder, png_uri
from services.report.images import CROP_PX, Crop, Gallery

#: Patches in a gallery, and of these in a row of its picture.
GALLERY_N, COLUMNS_N = 24, 8


def draw_patches(
    title: str,
    pictures: Sequence[NDArray[np.uint8]],
    captions: Sequence[tuple[str, str]],
    figures: FigureFolder,
    *,
    file: str,
    edge_px: int,
    pixel_size_nm: float | None,
) -> Gallery:
    """Lay patches side by side.

    Parameters
    ----------
    title : str
        Above them.
    pictures : sequence of ndarray
        From `show` or `ring`.
    captions : sequence of (str, str)
        The line below each, and what the pointer shows.
    figures : FigureFolder
        Where they are kept, in one PNG file.
    file : str
        Its name.
    edge_px, pixel_size_nm
        Edge of a patch, and of a pixel if that is known.
    """
    share, text = scale_bar(float(edge_px), pixel_size_nm)
    blank = np.full_like(pictures[0], 255)
    padded = [*pictures, *[blank] * (-len(pictures) % COLUMNS_N)]
    lines = [np.hstack(padded[i : i + COLUMNS_N]) for i in range(0, len(padded), COLUMNS_N)]
    return Gallery(
        title=title,
        crops=[
            Crop(png_uri(picture), [line], about)
            for picture, (line, about) in zip(pictures, captions, strict=True)
        ],
        bar_percent=100 * share,
        bar_text=text,
        file=figures.add_pixels(file, np.vstack(lines)),
    )


def show(patch: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch a patch, slightly smoothed so that the lattice shows through the noise."""
    smooth = gaussian_filter(normalise(patch[None].astype(np.float32))[0], 1.0)
    low, high = contrast_limits(smooth)
    grey = stretch(smooth, low=low, high=high)
    shown: NDArray[np.uint8] = cv2.resize(grey, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)
    return shown


def ring(picture: NDArray[np.uint8], oddness: NDArray[np.generic] | None) -> NDArray[np.uint8]:
    """Draw a ring around the oddest place of a patch, and a line around the patch."""
    shown = np.stack([picture] * 3, axis=-1)
    if oddness is not None:
        # A site is shown over several pixels: their middle is the place.
        y, x = np.argwhere(oddness == oddness.max()).mean(axis=0) / len(oddness) * len(picture)
        cv2.circle(shown, (round(x), round(y)), 11, rgb(SERIES[1]), 1, cv2.LINE_AA)
    shown[[0, -1]] = shown[:, [0, -1]] = 255
    return shown
