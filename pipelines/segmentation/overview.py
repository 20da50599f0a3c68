"""A look at a whole mosaic: a coarse level of its pyramid, and a sample of full-size pixels.

It depends on the mosaic and the settings alone, so every tile is judged alike, whoever works
on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.mosaic.ome_zarr import Mosaic
from pipelines.records import Window
from pipelines.segmentation.background import estimate_background
from pipelines.segmentation.masks import smooth
from pipelines.segmentation.settings import AUTO_SMOOTH_PX, SegmentationSettings

#: The coarse level that is looked at has at most this many pixels.
OVERVIEW_PIXELS = 1024 * 1024
#: Full-size pixels are sampled in squares of this edge, at most this many.
SAMPLE_PX = 512
N_SAMPLES = 24
#: Particles that stand out by fewer standard deviations call for more smoothing.
CLEAR_SIGMAS = 8.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GreyLevels:
    """How pixels become the grey levels that are worked with: (pixel - offset) * scale."""

    scale: float = 1.0
    offset: float = 0.0

    def working(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Turn pixels into working grey levels: floats become uint16, integers stay.

        Filters of floats round differently in different windows; filters of integers do not.
        """
        if pixels.dtype.kind == "u":
            return pixels
        levels = (pixels.astype(np.float64) - self.offset) * self.scale
        return np.clip(np.rint(levels), 0, 65535).astype(np.uint16)

    @classmethod
    def of(cls, mosaic: Mosaic) -> "GreyLevels":
        """Choose the range of a mosaic of floats."""
        if mosaic.info.dtype.kind == "u":
            return cls()
        statistics = mosaic.info.statistics
        low, high = (float(statistics["percentiles"][p]) for p in ("0.1", "99.9"))
        # A hot pixel must not take the levels that particles need.
        margin = (high - low) / 2
        low = max(float(statistics["min"]), low - margin)
        high = min(float(statistics["max"]), high + margin)
        return cls(65535 / (high - low) if high > low else 1.0, low)


@dataclass(frozen=True)
class Overview:
    """What a method sees of a mosaic to choose its threshold.

    Attributes
    ----------
    settings : SegmentationSettings
        What the user wants.
    grey : GreyLevels
        How pixels become working grey levels, in which everything here is.
    bright : bool
        Whether particles are brighter than the background.
    block_px : int
        Pixels of level 0 along the edge of one entry of the maps.
    image, backgrounds : (h, w) float32 arrays
        A coarse level of the mosaic and its background.
    smooth_px : float
        Standard deviation of the Gaussian that full-size pixels are smoothed with.
    lifts : (n,) float32 array
        How far a sample of smoothed full-size pixels lies on the particles' side of the
        background.
    noise : float
        Standard deviation of the smoothed background.
    shape : (int, int)
        Height and width of the mosaic, in full-size pixels.
    samples : tuple of arrays
        The full-size pixels that were sampled, in working grey levels, square by square.
    """

    settings: SegmentationSettings
    grey: GreyLevels
    bright: bool
    block_px: int
    image: Floats = field(repr=False)
    backgrounds: Floats = field(repr=False)
    smooth_px: float
    lifts: Floats = field(repr=False)
    noise: float
    shape: tuple[int, int] = (0, 0)
    samples: tuple[NDArray[Any], ...] = field(default=(), repr=False)

    def coarse_lift(self) -> Floats:
        """Return how far the coarse image lies on the particles' side of the background."""
        return (self.image - self.backgrounds) * np.float32(1 if self.bright else -1)


def look_at(mosaic: Mosaic, settings: SegmentationSettings) -> Overview:
    """Estimate a mosaic's background, and which side of it particles are on."""
    grey = GreyLevels.of(mosaic)
    sizes = [np.prod(mosaic.level(k).shape) for k in range(mosaic.info.n_levels)]
    level = next((k for k, n in enumerate(sizes) if n <= OVERVIEW_PIXELS), len(sizes) - 1)
    block_px = mosaic.downsampling(level)
    image = grey.working(np.asarray(mosaic.level(level)[...])).astype(np.float32)
    windows = _sample_windows(image, block_px, mosaic.info.shape)
    pixels = [grey.working(mosaic.read(window)) for window in windows]
    bright = _is_bright(pixels) if settings.polarity == "auto" else settings.polarity == "bright"
    backgrounds = estimate_background(image, settings.flatten_px / block_px, bright=bright)
    choices = AUTO_SMOOTH_PX if settings.smooth_px is None else (settings.smooth_px,)
    for smooth_px in choices:
        lifts = np.concatenate(
            [
                _lift(smooth(part, smooth_px), window, backgrounds, block_px, bright=bright)
                for part, window in zip(pixels, windows, strict=True)
            ]
        )
        noise = _noise(lifts)
        beyond = lifts[lifts > otsu(lifts)]
        if beyond.size and np.median(beyond) >= CLEAR_SIGMAS * noise:
            break
    return Overview(
        settings,
        grey,
        bright,
        block_px,
        image,
        backgrounds,
        smooth_px,
        lifts,
        noise,
        shape=mosaic.info.shape,
        samples=tuple(pixels),
    )


def otsu(values: NDArray[Any]) -> float:
    """Return the value that parts two classes with the greatest variance between them.

    References
    ----------
    .. [1] N. Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on
       Systems, Man, and Cybernetics 9 (1979).
    """
    if values.size == 0 or np.ptp(values) == 0:
        return 0.0
    counts, edges = np.histogram(values, bins=512)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    total = float(values.size)
    sums = np.cumsum(counts * centres)
    between = (sums[-1] * below - sums[:-1] * total) ** 2 / (below * (total - below))
    return float(edges[1 + int(np.argmax(between))])


def _sample_windows(image: Floats, block_px: int, shape: tuple[int, int]) -> list[Window]:
    """Choose squares of level 0: all, or some from the flattest to the most varied."""
    windows = [
        Window(y, x, min(y + SAMPLE_PX, shape[0]), min(x + SAMPLE_PX, shape[1]))
        for y in range(0, shape[0], SAMPLE_PX)
        for x in range(0, shape[1], SAMPLE_PX)
    ]
    if len(windows) <= N_SAMPLES:
        return windows
    step = SAMPLE_PX // block_px
    if step >= 2:
        rows, columns = -(-image.shape[0] // step), -(-image.shape[1] // step)
        padding = ((0, rows * step - image.shape[0]), (0, columns * step - image.shape[1]))
        squares = np.pad(image, padding, mode="edge").reshape(rows, step, columns, step)
        order = np.argsort(squares.std(axis=(1, 3)).reshape(-1), kind="stable")
    else:
        order = np.arange(len(windows))
    chosen = np.linspace(0, len(order) - 1, N_SAMPLES).round().astype(int)
    return [windows[i] for i in order[chosen].tolist()]


def _is_bright(pixels: Sequence[NDArray[Any]]) -> bool:
    """Tell whether grey levels reach further above the median than below."""
    above = below = 0.0
    for part in pixels:
        # Means of a few pixels, so that noise does not decide.
        height, width = part.shape[0] // 4 * 4, part.shape[1] // 4 * 4
        if height == 0 or width == 0:
            continue
        means = part[:height, :width].reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3))
        low, middle, high = np.percentile(means, (2, 50, 98))
        above, below = above + high - middle, below + middle - low
    return bool(above >= below)


def _lift(
    pixels: NDArray[Any], window: Window, backgrounds: Floats, block_px: int, *, bright: bool
) -> Floats:
    # Every second pixel along both axes: smoothed neighbours say much the same.
    y = np.arange(window.y0, window.y1, 2) // block_px
    x = np.arange(window.x0, window.x1, 2) // block_px
    lift = pixels[::2, ::2].astype(np.float32) - backgrounds[np.ix_(y, x)]
    return (lift if bright else -lift).reshape(-1)


def _noise(lifts: Floats) -> float:
    """Return the standard deviation of the background, from the side without particles."""
    below = -lifts[lifts < 0]
    return 1.4826 * float(np.median(below)) if below.size else 0.0
