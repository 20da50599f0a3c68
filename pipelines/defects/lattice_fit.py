"""The perfect lattice under an image: its frequencies, and a smooth fit of their waves.

Nothing is known beforehand: spacing, angle and contrast are read from the image's own spectrum.
The waves are fitted by least squares in overlapping blocks, with amplitudes and phases that may
change linearly within a block, so that drift, tilt, strain and uneven light are followed. Blocks
end at the image's edge, where least squares needs no padding.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, median_filter
from scipy.stats import gamma

Floats = NDArray[np.float32]

#: Largest edge of the pieces whose spectra are averaged; they are padded to at least the double.
SPECTRUM_PX, SMALLEST_PADDED_PX = 256, 128
#: How often noise alone may look like a wave, per image; and how many waves are taken at most.
FALSE_WAVES, MOST_WAVES = 1e-3, 18
#: A block is this many wavelengths of the lattice's strongest waves wide.
BLOCK_WAVELENGTHS = 7.0
#: Longer waves, in pixels, are taken for uneven light; shorter ones cannot be sampled.
LONGEST_PX, SHORTEST_PX = 64.0, 2.4
#: Waves that are weaker than the strongest by more than this are not a lattice's.
_WEAKEST = 1e-3


@dataclass(frozen=True)
class Waves:
    """The waves that make a lattice.

    Attributes
    ----------
    frequencies_yx : (K, 2) ndarray
        In cycles per pixel, one of each pair of opposite ones; strongest first.
    """

    frequencies_yx: NDArray[np.float64]

    @property
    def block_px(self) -> int:
        """Edge of the blocks in which they are fitted, if the image is so large."""
        if not len(self.frequencies_yx):
            return int(LONGEST_PX)
        lengths = 1 / np.hypot(*self.frequencies_yx[:3].T)
        # The middle one: uneven light may pass for a strong, long wave.
        return round(BLOCK_WAVELENGTHS * float(np.median(lengths)))


def find_waves(images: Floats) -> Waves:
    """Find the waves of the lattice that images of one specimen share.

    Parameters
    ----------
    images : (N, H, W) ndarray of float32
        Images, or pieces of one image, in any order.

    Returns
    -------
    waves : Waves
        Without frequencies where no lattice stands out of the noise.
    """
    edge = min(SPECTRUM_PX, *images.shape[1:])
    padded = max(SMALLEST_PADDED_PX, 2 ** (int(np.ceil(np.log2(edge))) + 1))
    power, n_pieces = _mean_power(images, edge, padded)
    fy = np.fft.fftfreq(padded)[:, None]
    fx = np.fft.rfftfreq(padded)[None, :]
    radius = np.hypot(fy, fx)
    power = power / _noise_floor(power, radius)
    allowed = (radius >= 1 / LONGEST_PX) & (radius <= 1 / SHORTEST_PX)
    # Of the two opposite ones on the axis one is enough.
    allowed &= (fx > 0) | (fy > 0)
    # Half as wide as the main lobe of a piece's window: two waves may be as near as that.
    lobe = 2 * (padded // edge) + 1
    peaks = (power == maximum_filter(power, lobe, mode="wrap")) & allowed
    peaks &= power > _stands_out(n_pieces, edge)
    rows, columns = np.nonzero(peaks)
    strength = power[rows, columns]
    order = np.argsort(-strength)[:MOST_WAVES]
    order = order[strength[order] > _WEAKEST * strength.max(initial=0)]
    found = [_refine(power, int(rows[i]), int(columns[i])) for i in order]
    return Waves(np.reshape(np.array(found, dtype=np.float64), (-1, 2)))


def reconstruct(
    images: Floats,
    waves: Waves,
    *,
    origin_yx: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
) -> Floats:
    """Draw the perfect lattice, with its uneven light, that fits each image best.

    Parameters
    ----------
    images : (N, H, W) ndarray of float32
        Images of equal shape.
    waves : Waves
        From `find_waves`.
    origin_yx, shape : (int, int)
        Where the images begin in a larger one, and that one's shape. Blocks are laid over the
        larger one, so that a window of it gives the same as the whole, but for the last
        ``block_px`` before an edge that is not the larger one's.

    Returns
    -------
    perfect : (N, H, W) ndarray of float32
        The image itself where no whole block lies.
    """
    height, width = images.shape[1:]
    whole = shape or (height, width)
    block = (min(waves.block_px, whole[0]), min(waves.block_px, whole[1]))
    basis = _basis(block, tuple(map(tuple, waves.frequencies_yx.tolist())))
    weight = np.outer(_taper(block[0]), _taper(block[1])).astype(np.float32)
    total = np.zeros(images.shape, np.float32)
    weights = np.zeros((height, width), np.float32)
    for y in _inside(_starts(whole[0], block[0]), origin_yx[0], height - block[0]):
        for x in _inside(_starts(whole[1], block[1]), origin_yx[1], width - block[1]):
            part = images[:, y : y + block[0], x : x + block[1]].reshape(len(images), -1)
            fitted = ((part @ basis) @ basis.T).reshape(-1, *block)
            total[:, y : y + block[0], x : x + block[1]] += fitted * weight
            weights[y : y + block[0], x : x + block[1]] += weight
    covered = weights > 0
    result: Floats = np.where(covered, total / np.where(covered, weights, 1), images)
    return result


def _mean_power(images: Floats, edge: int, padded: int) -> tuple[NDArray[np.float64], int]:
    """Add the power spectra of pieces, each without its mean and with soft edges; count them."""
    taper = np.hanning(edge + 2)[1:-1]
    window = np.outer(taper, taper)
    total, n_pieces = np.zeros((padded, padded // 2 + 1)), 0
    for y in _starts(images.shape[1], edge):
        for x in _starts(images.shape[2], edge):
            for image in images:
                piece = image[y : y + edge, x : x + edge]
                soft = (piece - (piece * window).sum() / window.sum()) * window
                total += np.abs(np.fft.rfft2(soft, s=(padded, padded))) ** 2
                n_pieces += 1
    return total, n_pieces


def _stands_out(n_pieces: int, edge: int) -> float:
    """Return how many times the median power noise hardly ever reaches.

    The power of noise, added over pieces, follows the gamma law. Pieces overlap, so that they
    tell less than as many separate ones would.
    """
    n = max(1.0, 0.6 * n_pieces)
    return float(gamma.isf(FALSE_WAVES / edge**2, n) / gamma.median(n))


def _noise_floor(power: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median power at each distance from the centre, smoothed."""
    ring = (radius * len(power) / 4).astype(int)
    order = np.argsort(ring, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(ring.ravel()))
    parts = np.split(power.ravel()[order], ends[:-1])
    floor = median_filter(np.array([np.median(part) for part in parts]), 9, mode="nearest")
    smooth: NDArray[np.float64] = np.maximum(floor, 1e-30)[ring]
    return smooth


def _refine(power: NDArray[np.float64], row: int, column: int) -> tuple[float, float]:
    """Return a peak's frequency between the samples, from a parabola through its neighbours."""
    log = np.log(np.maximum(power, 1e-30))
    n = len(power)
    dy = _vertex(log[(row - 1) % n, column], log[row, column], log[(row + 1) % n, column])
    left, right = log[row, abs(column - 1)], log[row, min(column + 1, power.shape[1] - 1)]
    dx = _vertex(left, log[row, column], right)
    y = (row + dy) if row < n / 2 else (row + dy - n)
    return y / n, (column + dx) / n


def _vertex(before: float, at: float, after: float) -> float:
    bend = before - 2 * at + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


@lru_cache(maxsize=8)
def _basis(shape: tuple[int, int], frequencies: tuple[tuple[float, float], ...]) -> Floats:
    """Return orthonormal columns that span the waves with linear amplitudes, (H * W, P)."""
    frequencies_yx = np.reshape(np.array(frequencies, dtype=np.float64), (-1, 2))
    y, x = np.mgrid[: shape[0], : shape[1]].reshape(2, -1).astype(np.float64)
    v, u = 2 * y / max(shape[0] - 1, 1) - 1, 2 * x / max(shape[1] - 1, 1) - 1
    phase = 2 * np.pi * (np.outer(y, frequencies_yx[:, 0]) + np.outer(x, frequencies_yx[:, 1]))
    waves = np.column_stack([np.ones_like(y), np.cos(phase), np.sin(phase)])
    columns = np.concatenate([waves, waves * v[:, None], waves * u[:, None]], axis=1)
    squares, turned = np.linalg.eigh(columns.T @ columns)
    # Two waves that a small block cannot tell apart count once.
    kept = squares > 1e-6 * squares[-1]
    basis: Floats = (columns @ (turned[:, kept] / np.sqrt(squares[kept]))).astype(np.float32)
    return basis


def _taper(edge: int) -> NDArray[np.float64]:
    """Weigh a block's middle most; never nothing, so that an image's edge has its fit too."""
    taper: NDArray[np.float64] = np.hanning(edge + 2)[1:-1] + 1e-3
    return taper


def _inside(starts: list[int], origin: int, last: int) -> list[int]:
    """Return the starts, counted from ``origin``, of blocks that lie wholly in a window."""
    return [start - origin for start in starts if 0 <= start - origin <= last]


def _starts(size: int, edge: int) -> list[int]:
    """Return where blocks begin that overlap by half and end at the edge."""
    n = max(1, int(np.ceil((size - edge) / max(edge // 2, 1))) + 1)
    return [int(start) for start in np.unique(np.linspace(0, size - edge, n).round().astype(int))]
