"""What a mosaic's pixels are judged by: background and threshold, the same for all its tiles."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.mosaic.ome_zarr import Mosaic
from pipelines.segmentation.overview import Floats, GreyLevels, Overview, look_at
from pipelines.segmentation.settings import SegmentationSettings


@dataclass(frozen=True)
class Survey:
    """Background and threshold of one mosaic.

    Attributes
    ----------
    bright : bool
        Whether particles are brighter than the background.
    smooth_px : float
        Standard deviation of the Gaussian before thresholding, in pixels.
    block_px : int
        Pixels of level 0 along the edge of one entry of the maps.
    backgrounds, thresholds : (ceil(H / block_px), ceil(W / block_px)) arrays
        In working grey levels.
    grey : GreyLevels
        How pixels become working grey levels.
    noise : float
        Standard deviation of the smoothed background, in working grey levels.
    contrast : float
        How far the typical particle differs from the background, in working grey levels.
    traits : mapping of str to float
        What else the method wanted to know of the mosaic.
    """

    bright: bool
    smooth_px: float
    block_px: int
    backgrounds: NDArray[Any]
    thresholds: NDArray[Any]
    grey: GreyLevels = field(default_factory=GreyLevels)
    noise: float = 0.0
    contrast: float = 0.0
    traits: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def blank(cls, shape: tuple[int, int]) -> Self:
        """Return the survey of a mosaic that nothing is known of."""
        nothing = np.zeros((1, 1), dtype=np.uint8)
        return cls(True, 0.0, max(shape), nothing, nothing)

    def to_bytes(self) -> bytes:
        """Write everything down: a JSON line, then the two maps."""
        header = {
            "bright": self.bright,
            "smooth_px": self.smooth_px,
            "block_px": self.block_px,
            "grey": [self.grey.scale, self.grey.offset],
            "noise": self.noise,
            "contrast": self.contrast,
            "traits": dict(self.traits),
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
        grey = GreyLevels(*header.pop("grey"))
        return cls(backgrounds=backgrounds, thresholds=thresholds, grey=grey, **header)


def survey_mosaic(
    mosaic: Mosaic,
    lifts: Callable[[Overview], float | Floats],
    settings: SegmentationSettings,
    traits: Callable[[Overview], Mapping[str, float]] | None = None,
) -> Survey:
    """Estimate background and threshold of a mosaic.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    lifts : callable
        The method's choice of how far the threshold lies above the background.
    settings : SegmentationSettings
        What the user wants.
    traits : callable, optional
        What else the method wants to know of the mosaic; see `method.Surveyor`.
    """
    overview = look_at(mosaic, settings)
    chosen = np.asarray(lifts(overview), dtype=np.float32)
    thresholds = overview.backgrounds + (chosen if overview.bright else -chosen)
    seen = overview.lifts
    beyond = seen[seen > float(np.median(chosen))]
    dtype = mosaic.info.dtype if mosaic.info.dtype.kind == "u" else np.dtype("uint16")
    return Survey(
        bright=overview.bright,
        smooth_px=overview.smooth_px,
        block_px=overview.block_px,
        backgrounds=_rounded(overview.backgrounds, dtype),
        thresholds=_rounded(thresholds, dtype),
        grey=overview.grey,
        noise=overview.noise,
        contrast=float(np.median(beyond)) if beyond.size else 0.0,
        traits={} if traits is None else dict(traits(overview)),
    )


def _rounded(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
