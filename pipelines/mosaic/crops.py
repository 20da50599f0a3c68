"""Square crops centred on particles, cut from mosaics without ever mirroring them.

Convention of angles: ``orientation_rad`` of the particles table is the angle of the major axis
from the downward y axis towards the x axis, so the axis points along (dy, dx) = (cos, sin). An
aligned crop is turned until that axis is vertical, which leaves it known up to half a turn.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.mosaic.ome_zarr import Mosaic
from pipelines.records import Window

Padding = Literal["constant", "reflect"]
#: Edge of the blocks of level-0 pixels that are read at once, in pixels: four chunks or so.
BLOCK_PX = 1024
#: Grey values between these percentiles of a crop become -1 to 1.
_PERCENTILES = (1.0, 99.0)
#: Scaled values are clipped here: a hot pixel or a charging spot must not drown the rest.
_CLIP = 3.0


@dataclass(frozen=True)
class CropSpec:
    """How crops are cut; part of every model's description.

    Attributes
    ----------
    size_px : int
        Edge of a crop, in its own pixels.
    aligned : bool
        Whether the particle's major axis is turned to the vertical.
    padding : {"constant", "reflect"}
        What lies beyond the mosaic's edge: the median of what was read, or its reflection, which
        can show a particle's mirror image beside it.
    """

    size_px: int
    aligned: bool = False
    padding: Padding = "constant"

    def __post_init__(self) -> None:
        if self.size_px < 1:
            raise ValueError(f"size_px must be at least 1, got {self.size_px}")
        if self.padding not in ("constant", "reflect"):
            raise ValueError(f"padding must be 'constant' or 'reflect', got {self.padding!r}")


def cut_crop(
    image: NDArray[Any],
    centre_yx: tuple[float, float],
    *,
    field_px: float,
    size_px: int,
    rotation_rad: float = 0.0,
    padding: Padding = "constant",
) -> NDArray[np.float32]:
    """Cut a square from an image by rotation, scale and shift: never by a reflection.

    Parameters
    ----------
    image : (H, W) ndarray
        Any real dtype, any memory order.
    centre_yx : (float, float)
        Centre of the square, in pixels of ``image``; integers are centres of pixels.
    field_px : float
        Edge of the square, in pixels of ``image``.
    size_px : int
        Edge of the crop, in its own pixels.
    rotation_rad : float
        Direction in ``image`` that becomes downwards in the crop, as an angle from the downward
        y axis towards the x axis.
    padding : {"constant", "reflect"}
        What lies beyond the image's edge.

    Returns
    -------
    crop : (size_px, size_px) ndarray of float32
        In the grey values of ``image``.
    """
    pixels = np.asarray(image, dtype=np.float32)
    step = field_px / size_px
    # Where the crop is coarser than the image, every pixel is the mean of several samples, so
    # that noise between the sampling points is averaged and not picked.
    finer = max(1, math.ceil(step))
    edge = size_px * finer
    step /= finer
    cos, sin = step * math.cos(rotation_rad), step * math.sin(rotation_rad)
    middle = (edge - 1) / 2
    # Rows give the (x, y) of the image for the (x, y) of the crop: determinant step**2 > 0.
    to_image = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    to_image[:, 2] = np.array(centre_yx[::-1]) - to_image[:, :2] @ (middle, middle)
    corners = np.array([[0, 0, 1], [0, edge, 1], [edge, 0, 1], [edge, edge, 1]]) @ to_image.T
    inside = corners.min() >= 0 and (corners.max(axis=0) < np.array(pixels.shape[::-1]) - 1).all()
    constant = padding == "constant" and not inside
    crop = cv2.warpAffine(
        pixels,
        to_image,
        (edge, edge),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT if constant else cv2.BORDER_REFLECT_101,
        borderValue=float(np.median(pixels)) if constant else 0.0,
    )
    if finer > 1:
        # A whole multiple: each pixel becomes the plain mean of its samples.
        crop = cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, dtype=np.float32)


def scale_crops(crops: NDArray[Any]) -> NDArray[np.float32]:
    """Scale the grey values of every crop by its own percentiles, robustly.

    The 1st and the 99th percentile of a crop become -1 and 1, and values are clipped at -3 and 3.
    No statistic is shared between crops, so none can leak from one to another. A crop of a single
    grey value becomes zeros.

    Parameters
    ----------
    crops : (N, S, S) ndarray
        Grey values.

    Returns
    -------
    scaled : (N, S, S) ndarray of float32
    """
    scaled = np.array(crops, dtype=np.float32, order="C")
    if scaled.shape[0] == 0:
        return scaled
    flat = scaled.reshape(scaled.shape[0], -1)
    # Nearest ranks need one partition and no interpolation between neighbours.
    low_rank, high_rank = (round(p / 100 * (flat.shape[1] - 1)) for p in _PERCENTILES)
    ordered = np.partition(flat, (low_rank, high_rank), axis=1)
    low, high = ordered[:, low_rank], ordered[:, high_rank]
    middle = np.asarray((low + high) / 2, dtype=np.float32)
    half = np.asarray((high - low) / 2, dtype=np.float32)
    # A constant crop has no contrast to stretch; its rounding noise is not a picture.
    usable = half > 1e-6 * np.maximum(np.abs(middle), 1)
    # In place: the copies would cost more than the arithmetic.
    flat -= middle[:, None]
    flat /= np.where(usable, half, np.float32(1))[:, None]
    flat[~usable] = 0
    np.clip(flat, -_CLIP, _CLIP, out=flat)
    return scaled


def read_crops(
    mosaic: Mosaic,
    centres_yx: NDArray[Any],
    orientations_rad: NDArray[Any],
    spec: CropSpec,
    *,
    field_px: float,
) -> NDArray[np.float32]:
    """Read the crops of some particles of a mosaic, neighbours together.

    Parameters
    ----------
    mosaic : Mosaic
        Where to read.
    centres_yx : (N, 2) ndarray
        Centres, in pixels of level 0.
    orientations_rad : (N,) ndarray
        Angles of the major axes; used where ``spec.aligned``.
    spec : CropSpec
        How to cut.
    field_px : float
        Edge of the field of view, in pixels of level 0.

    Returns
    -------
    crops : (N, S, S) ndarray of float32
        Grey values, in the order of the centres.
    """
    centres = np.asarray(centres_yx, dtype=np.float64).reshape(-1, 2)
    crops = np.empty((len(centres), spec.size_px, spec.size_px), dtype=np.float32)
    level = _level(mosaic, field_px / spec.size_px)
    factor = mosaic.downsampling(level)
    # A pixel of level k is the mean of 2**k pixels a side; its centre is the middle of theirs.
    at_level = (centres + 0.5) / factor - 0.5
    field = field_px / factor
    # Half the diagonal, and a pixel for the interpolation.
    reach = math.ceil(field / math.sqrt(2)) + 2
    for rows in group_by_block(centres):
        window = _window(at_level[rows], reach, mosaic.level(level).shape)
        block = np.ascontiguousarray(mosaic.read(window, level), dtype=np.float32)
        for row in rows:
            y, x = at_level[row]
            local = _window(at_level[row : row + 1], reach, mosaic.level(level).shape)
            part = block[
                local.y0 - window.y0 : local.y1 - window.y0,
                local.x0 - window.x0 : local.x1 - window.x0,
            ]
            crops[row] = cut_crop(
                part,
                (y - local.y0, x - local.x0),
                field_px=field,
                size_px=spec.size_px,
                rotation_rad=float(orientations_rad[row]) if spec.aligned else 0.0,
                padding=spec.padding,
            )
    return crops


def group_by_block(centres_yx: ArrayLike) -> list[NDArray[np.int64]]:
    """Group particles by the block of pixels that they lie in, in row-major order of blocks.

    Parameters
    ----------
    centres_yx : (N, 2) array_like
        Centres, in pixels of level 0.

    Returns
    -------
    groups : list of ndarray of int
        Row indices; every row is in one group.
    """
    blocks = np.floor(np.asarray(centres_yx, dtype=np.float64).reshape(-1, 2) / BLOCK_PX)
    if len(blocks) == 0:
        return []
    order = np.lexsort((np.arange(len(blocks)), blocks[:, 1], blocks[:, 0]))
    changes = np.flatnonzero(np.diff(blocks[order], axis=0).any(axis=1)) + 1
    return np.split(order.astype(np.int64), changes)


def _level(mosaic: Mosaic, step: float) -> int:
    """Return the coarsest level that is still finer than the crop's pixels."""
    return min(max(0, math.floor(math.log2(step))), mosaic.info.n_levels - 1)


def _window(centres_yx: NDArray[Any], reach_px: int, shape: tuple[int, ...]) -> Window:
    """Return what must be read around some centres, clipped to the image."""
    height, width = shape
    y0, x0 = np.floor(centres_yx.min(axis=0)).astype(int) - reach_px
    y1, x1 = np.ceil(centres_yx.max(axis=0)).astype(int) + reach_px + 1
    y0, x0 = min(max(0, int(y0)), height - 1), min(max(0, int(x0)), width - 1)
    return Window(y0, x0, max(min(int(y1), height), y0 + 1), max(min(int(x1), width), x0 + 1))
