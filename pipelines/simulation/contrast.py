"""From heights and facets to secondary-electron yield: slopes, ridges, shadows, and the beam.

After Reimer, Scanning Electron Microscopy (1998), chapters 4 and 6, in the cheapest forms that
keep what the eye reads: facets of even grey, bright ridges and rims, dark gaps.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import generator
from pipelines.records import Window
from pipelines.simulation.presets import Contrast

Image = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Periods of the two textures that are added; together they repeat after half a million pixels.
_PERIODS_PX = (757, 613)
#: Weight and width, in beam widths, of the beam's wide tail.
_TAIL, _TAIL_WIDTH = 0.05, 3.0


def facet_yields(normals: Floats, contrast: Contrast, detector_rad: float) -> Floats:
    """Compute the yield of facets from their slope and from the side that the detector is on.

    The yield grows as ``sec(theta) ** k`` with the angle between beam and normal, up to a limit,
    and by ``1 + A (n . d)`` towards the detector (Everhart and Thornley 1960).

    Parameters
    ----------
    normals : (F, 3) array
        Outward unit normals: x right, y up, z towards the beam; ``nz > 0``.
    contrast : Contrast
        Exponent, limit, and side light A.
    detector_rad : float
        Azimuth of the detector, anticlockwise from x.

    Returns
    -------
    yields : (F,) array
        1 for a flat facet.
    """
    slope = np.minimum(normals[:, 2] ** -contrast.slope_exponent, contrast.slope_limit)
    towards = normals[:, 0] * np.cos(detector_rad) + normals[:, 1] * np.sin(detector_rad)
    return np.asarray(slope * (1 + contrast.side_light * towards))


def substrate_texture(seed: int, window: Window, *, width_px: int, flipped: bool) -> Image:
    """Cut a window from the endless texture of a seed's substrate.

    Parameters
    ----------
    seed : int
        The run's seed.
    window : Window
        Pixels of the mosaic; may reach over its border.
    width_px : int
        Width of the mosaic, in pixels.
    flipped : bool
        Whether the texture is mirrored with the mosaic.

    Returns
    -------
    texture : (H, W) array of float32
        Mean near 0 and standard deviation near 1, with a 1/f spectrum.
    """
    rows = np.arange(window.y0, window.y1)
    columns = np.arange(window.x0, window.x1)
    if flipped:
        columns = width_px - 1 - columns
    total = np.zeros(window.shape, dtype=np.float32)
    for period in _PERIODS_PX:
        total += _periodic_texture(seed, period)[np.ix_(rows % period, columns % period)]
    return total / np.float32(np.sqrt(len(_PERIODS_PX)))


def shade(z: Image, yields: Image, contrast: Contrast, *, px_per_nm: float) -> Image:
    """Brighten ridges and rims, and darken what stands beside something taller.

    Where the surface lies above its surroundings blurred over the escape depth, electrons
    leave through the side too; where it lies below those blurred more widely, part of the sky
    is hidden.

    Parameters
    ----------
    z : (2H, 2W) array of float32
        Heights, in pixels of the result, two samples per pixel along each axis.
    yields : (2H, 2W) array of float32
        Yields by slope.
    contrast : Contrast
        Strengths and lengths.
    px_per_nm : float
        Pixels of the result per nanometre.

    Returns
    -------
    signal : (H, W) array of float32
        Yield per pixel.
    """
    height, width = z.shape[0] // 2, z.shape[1] // 2
    rounded = _blur(z, 2 * contrast.rounding_nm * px_per_nm)
    above = rounded - _blur(z, 2 * contrast.edge_nm * px_per_nm)
    np.maximum(above, 0, out=above)
    above *= np.float32(-1 / (contrast.edge_step_nm * px_per_nm))
    edge = np.subtract(1, np.exp(above, out=above), out=above)
    lit = yields * (1 + np.float32(contrast.edge_strength) * edge)
    signal = _halve(lit, height, width)
    below = _blur(_halve(z, height, width), contrast.shadow_nm * px_per_nm)
    below -= _halve(rounded, height, width)
    np.maximum(below, 0, out=below)
    below *= np.float32(-1 / (contrast.shadow_nm * px_per_nm))
    signal *= 1 - np.float32(contrast.shadow) * (1 - np.exp(below))
    return np.asarray(signal)


def beam_kernel(sd_px: float, *, astigmatism: float, stigma_rad: float) -> Image:
    """Make the beam's profile: an elongated Gaussian with a faint wide tail; sums to 1.

    Parameters
    ----------
    sd_px : float
        Standard deviation, in pixels.
    astigmatism : float
        Relative elongation along one axis and narrowing along the other.
    stigma_rad : float
        Direction of the elongation, from x towards y (down).
    """
    reach = int(np.ceil(3 * sd_px * _TAIL_WIDTH / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along = x * np.cos(stigma_rad) + y * np.sin(stigma_rad)
    across = y * np.cos(stigma_rad) - x * np.sin(stigma_rad)
    long, short = sd_px * (1 + astigmatism), sd_px / (1 + astigmatism)
    core = np.exp(-((along / long) ** 2 + (across / short) ** 2) / 2)
    tail = np.exp(-(x**2 + y**2) / (2 * (_TAIL_WIDTH * sd_px) ** 2))
    kernel = (1 - _TAIL) * core / core.sum() + _TAIL * tail / tail.sum()
    return np.asarray(kernel, dtype=np.float32)


@lru_cache(maxsize=8)
def _periodic_texture(seed: int, period: int) -> Image:
    """Make a square of 1/f noise that continues over its own edges."""
    rng = generator(seed, "texture", period)
    white = np.fft.rfft2(rng.standard_normal((period, period)))
    f = np.hypot(np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None, :])
    # Below a wavelength of 80 px it is flat: slow shades are the scan's, not the substrate's.
    noise = np.fft.irfft2(white / np.maximum(f, 1 / 80), s=(period, period))
    return np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32)


def _blur(image: Image, sd: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sd, 0.1)), dtype=np.float32)


def _halve(image: Image, height: int, width: int) -> Image:
    halved = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(halved, dtype=np.float32)
