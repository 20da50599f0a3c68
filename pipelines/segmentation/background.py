"""The background of a whole mosaic, from a coarse picture of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

#: Share of a neighbourhood that particles may cover before its own background is not believed.
_QUANTILE = 0.2
_ROUNDS = 3

Floats = NDArray[np.float32]


def estimate_background(image: Floats, flatten: float, *, bright: bool) -> Floats:
    """Estimate the slowly varying background under particles.

    Parameters
    ----------
    image : (h, w) float32 array
        Grey levels.
    flatten : float
        Scale at which the background may vary, in pixels of ``image``; 0 for a constant.
    bright : bool
        Whether particles are brighter than the background.

    Returns
    -------
    background : (h, w) float32 array

    Notes
    -----
    In every cell of a quarter of the scale a low quantile is a first guess, not believed where
    a whole neighbourhood of cells lies far above its surroundings: a dense layer. Then pixels
    far from the guess are left out and the rest averaged, a few times.
    """
    signed = image if bright else -image
    if flatten <= 0 or min(image.shape) < 4:
        everywhere = _mode(signed)
        return np.full(image.shape, everywhere if bright else -everywhere, dtype=np.float32)
    cell = max(1, round(flatten / 4))
    cells = _Cells(image.shape, cell)
    guess = cells.quantile(signed, _QUANTILE)
    guess = _smooth_cells(guess, _believed(guess, signed).astype(np.float32))
    for _ in range(_ROUNDS):
        lift = signed - cells.spread(guess)
        # The particles' side has particles on it; the other side is noise alone.
        below = -lift[lift < 0]
        spread = 1.4826 * float(np.median(below)) if below.size else 0.0
        plain = np.abs(lift) <= max(2.5 * spread, 0.5)
        share = cells.mean(plain.astype(np.float32))
        level = cells.mean(np.where(plain, signed, 0).astype(np.float32))
        level = np.divide(level, share, out=guess.copy(), where=share > 0.02)
        guess = _smooth_cells(level, np.where(share > 0.02, share, 0).astype(np.float32))
    background = cells.spread(guess)
    return background if bright else -background


class _Cells:
    """Square cells of an image."""

    def __init__(self, shape: tuple[int, ...], cell: int) -> None:
        self.shape, self.cell = shape, cell
        self.grid = (-(-shape[0] // cell), -(-shape[1] // cell))

    def _padded(self, image: Floats) -> Floats:
        down, right = (n * self.cell - size for n, size in zip(self.grid, self.shape, strict=True))
        return np.pad(image, ((0, down), (0, right)), mode="symmetric")

    def quantile(self, image: Floats, share: float) -> Floats:
        """Return a quantile of each cell."""
        # Sixteen by sixteen pixels of a cell say enough.
        step = max(1, self.cell // 16)
        padded = self._padded(image)
        rows, columns = self.grid
        split = padded.reshape(rows, self.cell, columns, self.cell)[:, ::step, :, ::step]
        flat = split.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
        rank = int(share * (flat.shape[-1] - 1))
        return np.partition(flat, rank, axis=-1)[..., rank]

    def mean(self, image: Floats) -> Floats:
        """Return the mean of each cell."""
        rows, columns = self.grid
        found: Floats = cv2.resize(
            self._padded(image), (columns, rows), interpolation=cv2.INTER_AREA
        )
        return found.reshape(rows, columns)

    def spread(self, values: Floats) -> Floats:
        """Interpolate values at the centres of cells linearly to all pixels."""
        rows, columns = self.grid
        size = (columns * self.cell, rows * self.cell)
        found: Floats = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        return found.reshape(size[::-1])[: self.shape[0], : self.shape[1]]


def _believed(guess: Floats, signed: Floats) -> NDArray[np.bool_]:
    """Tell which cells hold background: those not far above the lowest of their surroundings."""
    around = np.ones((9, 9), np.uint8)
    lowest = cv2.erode(cv2.medianBlur(guess, 3), around)
    low, high = np.percentile(signed[::4, ::4], (2, 98))
    return np.asarray(guess <= lowest + 0.4 * (high - low))


def _smooth_cells(values: Floats, weights: Floats) -> Floats:
    """Average cells with their neighbours by weight, wider where there is little weight."""
    result = np.full_like(values, np.average(values, weights=weights) if weights.any() else 0)
    for sigma in (16.0, 4.0, 1.0):
        total = cv2.GaussianBlur(weights, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        sums = cv2.GaussianBlur(values * weights, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        # What the wider average says counts as much as a twentieth of full weight.
        result = (sums + 0.05 * result) / (total + 0.05)
    return np.asarray(result, dtype=np.float32)


def _mode(signed: Floats) -> float:
    """Return the most frequent grey level, from a histogram of 256 bins."""
    sample = signed[:: max(1, signed.shape[0] // 1024), :: max(1, signed.shape[1] // 1024)]
    counts, edges = np.histogram(sample, bins=256)
    counts = np.convolve(counts, np.ones(5), mode="same")
    peak = int(np.argmax(counts))
    return float((edges[peak] + edges[peak + 1]) / 2)
