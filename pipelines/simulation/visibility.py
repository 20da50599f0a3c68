"""How much of a particle's hand can be seen: its picture against the mirror image of it."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.simulation.contrast import beam_kernel, shade
from pipelines.simulation.particle import Piece
from pipelines.simulation.presets import Preset
from pipelines.simulation.render import draw_relief

#: Below this, or with less of the particle showing, its hand cannot be told.
LEAST_VISIBILITY = 0.5
LEAST_SHOWING = 0.8

_RADII, _ANGLES = 32, 128


def isolated(piece: Piece, preset: Preset, pixel_size_nm: float) -> tuple[float, int]:
    """Look at a particle alone, without noise and without a detector's side.

    Parameters
    ----------
    piece : Piece
        The particle; where it lies does not matter.
    preset : Preset
        Contrast and beam.
    pixel_size_nm : float
        Edge of a pixel, in nanometres.

    Returns
    -------
    cue : float
        See `chirality_cue`.
    area_px : int
        Pixels it would cover were nothing in front of it.
    """
    reach = int(np.ceil(piece.solid.reach)) + 12
    window = Window(0, 0, 2 * reach, 2 * reach)
    contrast = replace(preset.contrast, side_light=0.0)
    ground = np.full(window.shape, contrast.substrate, dtype=np.float32)
    alone = replace(piece, centre_yx=(float(reach), float(reach)))
    relief = draw_relief([alone], window, ground, contrast, detector_rad=0.0)
    signal = shade(relief.z, relief.yields, contrast, px_per_nm=1 / pixel_size_nm)
    kernel = beam_kernel(preset.scan.beam_sd_px, astigmatism=0.0, stigma_rad=0.0)
    picture = cv2.filter2D(signal, -1, kernel) - np.float32(contrast.substrate)
    area_px = round(np.count_nonzero(relief.pieces) / 4)
    return chirality_cue(np.maximum(picture, 0)), area_px


def chirality_cue(picture: NDArray[np.float32]) -> float:
    """Compare a picture with its mirror image, turned so as to fit best.

    Both are laid centroid on centroid and compared in polar coordinates, where turning is a
    shift and one Fourier transform tries all turns.

    Parameters
    ----------
    picture : (H, W) array of float32
        Not negative; 0 where there is nothing.

    Returns
    -------
    cue : float
        Root of the share of the picture's power, about its mean at each radius, that the best
        turn of its mirror image does not explain: 0 for an achiral picture, at most about 1.
    """
    height, width = picture.shape
    total = float(picture.sum())
    if total <= 0:
        return 0.0
    y = float((picture.sum(axis=1) * np.arange(height)).sum()) / total
    x = float((picture.sum(axis=0) * np.arange(width)).sum()) / total
    how = cv2.INTER_LINEAR + cv2.WARP_FILL_OUTLIERS
    polar = cv2.warpPolar(picture, (_RADII, _ANGLES), (x, y), min(height, width) / 2, how)
    weights = np.arange(_RADII) + 0.5
    spectrum = np.fft.rfft(polar - polar.mean(axis=0), axis=0)
    fits = np.fft.irfft((spectrum**2 * weights).sum(axis=1), n=_ANGLES)
    power = float(np.fft.irfft((np.abs(spectrum) ** 2 * weights).sum(axis=1), n=_ANGLES)[0])
    if power <= 0:
        return 0.0
    return float(np.sqrt(max(1 - float(fits.max()) / power, 0.0)))
