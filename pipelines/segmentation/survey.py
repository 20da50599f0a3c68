"""What the whole mosaic says about background and threshold, before any tile is cut.

The background comes from a coarse level of the pyramid, the threshold from a sample of
full-size pixels. Both depend on the mosaic and the settings alone, so every tile of it is
judged alike, whoever works on it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.mosaic.ome_zarr import Mosaic
from pipelines.records import Window
from pipelines.segmentation.background import estimate_background
from pipelines.segmentation.masks import smooth
from pipelines.segmentation.settings import SegmentationSettings

#: The coarse level that is looked at has at most this many pixels.
OVERVIEW_PIXELS = 1024 * 1024
#: Full-size pixels are sampled in squares of this edge, at most this many.
SAMPLE_PX = 512
N_SAMPLES = 24
#: A threshold is at least this many standard deviations of the smoothed background.
LEAST_THRESHOLD_SIGMAS = 3.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Survey:
    """Background and threshold of one mosaic.

    Attributes
    ----------
    bright : bool
        Whether particles are brighter than the background.
    block_px : int
        Pixels of level 0 along the edge of one entry of the maps.
    backgrounds, thresholds : (ceil(H / block_px), ceil(W / block_px)) arrays
        In working grey levels: `working` turns pixels into them.
    scale, offset : float
        Working grey level = (pixel - offset) * scale.
    noise : float
        Standard deviation of the smoothed background, in working grey levels.
    contrast : float
        How far the typical particle differs from the background, in working grey levels.
    """

    bright: bool
    block_px: int
    backgrounds: NDArray[Any]
    thresholds: NDArray[Any]
    scale: float = 1.0
    offset: float = 0.0
    noise: float = 0.0
    contrast: float = 0.0

    @classmethod
    def blank(cls, shape: tuple[int, int]) -> Self:
        """Return the survey of a mosaic that nothing is known of."""
        nothing = np.zeros((1, 1), dtype=np.uint8)
        return cls(True, max(shape), nothing, nothing)

    def working(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Turn pixels into working grey levels: floats become uint16, integers stay."""
        if pixels.dtype.kind == "u":
            return pixels
        levels = (pixels.astype(np.float64) - self.offset) * self.scale
        return np.clip(np.rint(levels), 0, 65535).astype(np.uint16)

    def to_bytes(self) -> bytes:
        """Write everything down: a JSON line, then the two maps."""
        header = {
            "bright": self.bright,
            "block_px": self.block_px,
            "scale": self.scale,
            "offset": self.offset,
            "noise": self.noise,
            "contrast": self.contrast,
            "dtype": self.backgrounds.dtype.str,
            "shape": list(self.backgrounds.shape),
        }
        maps = self.backgrounds.tobytes() + self.thresholds.tobytes()
        return json.dumps(header).encode() + b"\n" + maps

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        start = data.index(b"\n") + 1
        header = json.loads(data[:start])
        maps = np.frombuffer(data, np.dtype(header.pop("dtype")), offset=start)
        backgrounds, thresholds = maps.reshape(2, *header.pop("shape"))
        return cls(backgrounds=backgrounds, thresholds=thresholds, **header)


@dataclass(frozen=True)
class Overview:
    """What a method sees of a mosaic to choose its threshold.

    Attributes
    ----------
    bright : bool
        Whether particles are brighter than the background.
    block_px : int
        Pixels of level 0 along the edge of one entry of the maps.
    image, backgrounds : (h, w) float32 arrays
        A coarse level of the mosaic and its background, in working grey levels.
    samples : tuple of (n, m) float32 arrays
        How far smoothed full-size pixels lie on the particles' side of the background.
    noise : float
        Standard deviation of the smoothed background.
    settings : SegmentationSettings
        What the user wants.
    """

    bright: bool
    block_px: int
    image: Floats
    backgrounds: Floats
    samples: tuple[Floats, ...]
    noise: float
    settings: SegmentationSettings

    def lift(self) -> Floats:
        """Return how far the coarse image lies on the particles' side of the background."""
        return (self.image - self.backgrounds) * np.float32(1 if self.bright else -1)


def look_at(mosaic: Mosaic, settings: SegmentationSettings) -> tuple[Overview, float, float]:
    """Estimate background, polarity and noise of a mosaic; return also scale and offset."""
    scale, offset = _range(mosaic)
    level = next(
        k
        for k in range(mosaic.info.n_levels)
        if np.prod(mosaic.level(k).shape) <= OVERVIEW_PIXELS or k == mosaic.info.n_levels - 1
    )
    block_px = mosaic.downsampling(level)
    to_working = Survey(True, block_px, _NONE, _NONE, scale, offset).working
    image = to_working(np.asarray(mosaic.level(level)[...])).astype(np.float32)
    windows = _sample_windows(image, block_px, mosaic.info.shape)
    pixels = [smooth(to_working(mosaic.read(w)), settings.smooth_px) for w in windows]
    bright = _is_bright(pixels) if settings.polarity == "auto" else settings.polarity == "bright"
    flatten = settings.flatten_px / block_px
    backgrounds = estimate_background(image, flatten, bright=bright)
    samples = tuple(
        _lift(p, w, backgrounds, block_px, bright) for p, w in zip(pixels, windows, strict=True)
    )
    noise = _noise(samples)
    return (
        Overview(bright, block_px, image, backgrounds, samples, noise, settings),
        scale,
        offset,
    )


def survey_mosaic(
    mosaic: Mosaic,
    lifts: Callable[[Overview], float | Floats],
    settings: SegmentationSettings,
) -> Survey:
    """Estimate background and threshold of a mosaic; ``lifts`` is the method's."""
    overview, scale, offset = look_at(mosaic, settings)
    dtype = mosaic.info.dtype if mosaic.info.dtype.kind == "u" else np.dtype("uint16")
    return make_survey(overview, lifts(overview), dtype=dtype, scale=scale, offset=offset)


def make_survey(
    overview: Overview, lifts: float | Floats, *, dtype: np.dtype[Any], scale: float, offset: float
) -> Survey:
    """Put thresholds ``lifts`` above the background into a survey.

    Parameters
    ----------
    overview : Overview
        What was seen.
    lifts : float or (h, w) array
        Grey levels between background and threshold, positive.
    dtype : numpy dtype
        Of the working grey levels.
    scale, offset : float
        See `Survey`.
    """
    sign = 1 if overview.bright else -1
    thresholds = overview.backgrounds + sign * np.asarray(lifts, dtype=np.float32)
    lift = np.concatenate([sample.reshape(-1) for sample in overview.samples])
    beyond = lift[lift > float(np.median(lifts))]
    return Survey(
        bright=overview.bright,
        block_px=overview.block_px,
        backgrounds=_rounded(overview.backgrounds, dtype),
        thresholds=_rounded(thresholds, dtype),
        scale=scale,
        offset=offset,
        noise=overview.noise,
        contrast=float(np.median(beyond)) if beyond.size else 0.0,
    )


def otsu(values: NDArray[Any]) -> float:
    """Return the value that parts two classes with the greatest variance between them.

    Parameters
    ----------
    values : array
        Any numbers.

    References
    ----------
    .. [1] N. Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on
       Systems, Man, and Cybernetics 9 (1979).
    """
    counts, edges = np.histogram(values, bins=512)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    total = below[-1]
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * below - sums * total) ** 2 / (below * (total - below))
    return float(edges[1:][np.nanargmax(between[:-1])]) if total and np.ptp(values) > 0 else 0.0


_NONE = np.empty((0, 0), np.uint8)


def _range(mosaic: Mosaic) -> tuple[float, float]:
    """Return scale and offset of the working grey levels."""
    if mosaic.info.dtype.kind == "u":
        return 1.0, 0.0
    statistics = mosaic.info.statistics
    low, high = (float(statistics["percentiles"][p]) for p in ("0.1", "99.9"))
    # A hot pixel must not take the levels that particles need.
    low, high = (
        max(float(statistics["min"]), low - (high - low) / 2),
        min(float(statistics["max"]), high + (high - low) / 2),
    )
    return (65535 / (high - low) if high > low else 1.0), low


def _sample_windows(image: Floats, block_px: int, shape: tuple[int, int]) -> list[Window]:
    """Choose squares of level 0: all, or some from the flattest to the most varied."""
    windows = [
        Window(y, x, min(y + SAMPLE_PX, shape[0]), min(x + SAMPLE_PX, shape[1]))
        for y in range(0, shape[0], SAMPLE_PX)
        for x in range(0, shape[1], SAMPLE_PX)
    ]
    if len(windows) <= N_SAMPLES:
        return windows
    spreads = [
        float(
            np.std(image[w.y0 // block_px : w.y1 // block_px, w.x0 // block_px : w.x1 // block_px])
        )
        for w in windows
    ]
    order = np.argsort(spreads, kind="stable")
    return [
        windows[order[i]] for i in np.linspace(0, len(order) - 1, N_SAMPLES).round().astype(int)
    ]


def _is_bright(pixels: list[NDArray[Any]]) -> bool:
    """Tell whether grey levels reach further above the median than below."""
    above = below = 0.0
    for part in pixels:
        low, middle, high = np.percentile(part[::2, ::2], (2, 50, 98))
        above, below = above + high - middle, below + middle - low
    return bool(above >= below)


def _lift(
    pixels: NDArray[Any], window: Window, backgrounds: Floats, block_px: int, bright: bool
) -> Floats:
    y = np.arange(window.y0, window.y1) // block_px
    x = np.arange(window.x0, window.x1) // block_px
    lift = pixels.astype(np.float32) - backgrounds[np.ix_(y, x)]
    return lift if bright else -lift


def _noise(samples: tuple[Floats, ...]) -> float:
    """Return the standard deviation of the background, from the side without particles."""
    below = np.concatenate([-sample[sample < 0] for sample in samples])
    return 1.4826 * float(np.median(below)) if below.size else 0.0


def _rounded(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
