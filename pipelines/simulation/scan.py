"""From yield to grey levels: charging, displaced lines, uneven light, electrons counted."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from pipelines.simulation.acquisition import TileScan
from pipelines.simulation.presets import Scan

Image = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)

#: Width of the rim that a neighbouring tile's scan has darkened.
_FRAME_PX = 24


def charge(signal: Image, scan: Scan, *, fast_x: int, ground: float) -> Image:
    """Draw the dark tails that bright places leave behind them along the scanned line.

    Parameters
    ----------
    signal : (H, W) array of float32
        Yield.
    scan : Scan
        Strength and length of the tails.
    fast_x : {1, -1}
        Whether lines run to the right or to the left.
    ground : float
        The substrate's yield: only what is brighter charges.
    """
    if scan.charging == 0:
        return signal
    keep = np.float32(np.exp(-1 / scan.charging_px))
    excess = np.maximum(signal - np.float32(ground), 0)[:, ::fast_x]
    # Left by the pixels before this one, not by itself.
    tail = lfilter(np.array([0, 1 - keep], np.float32), np.array([1, -keep], np.float32), excess)
    return np.asarray(signal - np.float32(scan.charging) * tail[:, ::fast_x], dtype=np.float32)


def displacement(
    tile: TileScan, scan: Scan, *, fast_x: int, margin_px: int, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Find where in the specimen each pixel of a tile was really read.

    Stage error moves the whole tile, drift shears it, and every line starts a little off.

    Parameters
    ----------
    tile : TileScan
        The tile.
    scan : Scan
        Size of the line jitter.
    fast_x : {1, -1}
        Direction of the lines; the jitter goes along it.
    margin_px : int
        Where the tile begins in the array that is to be displaced, along both axes.
    rng : numpy.random.Generator
        Draws the jitter.

    Returns
    -------
    x, y : (H, W) arrays of float32
        Columns and rows in that array.
    """
    height, width = tile.window.shape
    rows = np.arange(height, dtype=np.float64)
    jitter = rng.normal(size=height) * scan.row_jitter_px * fast_x
    step = tile.shear * (rows - (height - 1) / 2) + jitter + tile.stage_yx_px[1] + margin_px
    x = (np.arange(width)[None, :] + step[:, None]).astype(np.float32)
    y = np.broadcast_to((rows + tile.stage_yx_px[0] + margin_px)[:, None], x.shape)
    return x, np.ascontiguousarray(y, dtype=np.float32)


def illumination(tile: TileScan, scan: Scan) -> Image:
    """Make the light over a tile: a gradient, darker corners, a darkened rim; near 1."""
    height, width = tile.window.shape
    v = ((np.arange(height) + 0.5) / height - 0.5)[:, None]
    u = ((np.arange(width) + 0.5) / width - 0.5)[None, :]
    light = 1 + tile.gradient_yx[0] * v + tile.gradient_yx[1] * u
    light = light - 2 * scan.vignetting * (u**2 + v**2)
    if tile.framed:
        inner = np.zeros((height, width), dtype=bool)
        inner[_FRAME_PX : height - _FRAME_PX, _FRAME_PX : width - _FRAME_PX] = True
        light = np.where(inner, light, light * (1 - scan.frame))
    return np.asarray(light, dtype=np.float32)


def count_electrons(
    signal: Image, electrons: float, *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Count secondary electrons: a Poisson number of electrons each sets a Poisson number free.

    Parameters
    ----------
    signal : array of float32
        Yield: secondary electrons per electron.
    electrons : float
        Mean number of electrons per pixel.

    Returns
    -------
    counted : array of float32
        Yield as counted, with mean ``signal`` and variance ``signal (1 + signal) / electrons``.
    """
    arrived = rng.poisson(electrons, size=signal.shape)
    freed = rng.poisson(np.maximum(signal, 0) * arrived)
    return np.asarray(freed / electrons, dtype=np.float32)


def to_grey(signal: Image, tile: TileScan, scan: Scan) -> Image:
    """Turn yield into grey levels by the tile's brightness; neither rounded nor clipped."""
    gain = np.float32(tile.gain * scan.grey_per_yield)
    return np.asarray(signal * gain + np.float32(scan.black_grey + tile.offset_grey))


def digitise(grey: Image, scan: Scan, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add the amplifier's noise and the lines' offsets, round, and clip to 8 bits."""
    rows = _line_offsets(len(grey), scan.row_offset_grey, rng)
    noise = rng.standard_normal(grey.shape, dtype=np.float32) * np.float32(scan.read_sd_grey)
    return np.asarray(np.clip(np.rint(grey + noise + rows[:, None]), 0, 255), dtype=np.uint8)


def resample(image: NDArray[T], x: Image, y: Image, *, nearest: bool) -> NDArray[T]:
    """Read an image at displaced places."""
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(image, x, y, how, borderMode=cv2.BORDER_REPLICATE))


def _line_offsets(height: int, sd: float, rng: np.random.Generator) -> Image:
    """Draw one offset per line, each remembering the last: AR(1) with coefficient 0.7."""
    steps = rng.normal(size=height) * sd * np.sqrt(1 - 0.7**2)
    return np.asarray(lfilter([1.0], [1.0, -0.7], steps), dtype=np.float32)
