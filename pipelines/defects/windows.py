"""Score the patches of an image window by window: the same scores, however it is cut."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.catalogue import draws_maps
from pipelines.defects.model import DefectModel
from pipelines.defects.patches import Floats, cut, make_patches, plan_grid
from pipelines.errors import MosaicError
from pipelines.records import Window

#: Edge of the pieces that an image is surveyed by, and how many there are at most.
PIECE_PX, N_PIECES = 256, 24


@dataclass(frozen=True)
class Target:
    """An image whose patches are scored.

    Attributes
    ----------
    name : str
        Name of the mosaic.
    shape : (int, int)
        Height and width, in pixels.
    stride_px : int
        Distance of its patches.
    survey : object
        What the detector learnt of this image alone; None if it learns nothing.
    """

    name: str
    shape: tuple[int, int]
    stride_px: int
    survey: Any = None


@dataclass(frozen=True)
class WindowScores:
    """Scores of the patches that begin in a core, and the map of the core if there is one."""

    core: Window
    origins_yx: NDArray[np.int64]
    scores: NDArray[np.float64]
    oddness: Floats | None


def plan_pieces(shape: tuple[int, int], *, patch_px: int) -> list[Window]:
    """Choose the pieces that an image is surveyed by, spread over it evenly."""
    edge = min(max(PIECE_PX, patch_px), *shape)
    grid = plan_grid(shape, patch_px=edge, stride_px=edge)
    chosen = grid[np.unique(np.linspace(0, len(grid) - 1, N_PIECES).round().astype(int))]
    return [Window(int(y), int(x), int(y) + edge, int(x) + edge) for y, x in chosen]


def halo_px(detector: Any, model: DefectModel, target: Target) -> int:
    """Return how much of the image around a core its patches and its map need."""
    own = detector.halo_px(target.survey) if draws_maps(detector) else 0
    return int(own + model.patch_px)


def score_window(
    detector: Any,
    model: DefectModel,
    target: Target,
    *,
    core: Window,
    window: Window,
    image: NDArray[np.generic],
) -> WindowScores:
    """Score the patches that begin in ``core``; ``image`` are the pixels of ``window``.

    Raises
    ------
    MosaicError
        If a pixel is not finite.
    """
    pixels = image.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise MosaicError(f"mosaic {target.name} has pixels that are not finite in {tuple(window)}")
    origins = _origins_in(core, target, model.patch_px)
    local = origins - np.array([window.y0, window.x0])
    if not draws_maps(detector):
        patches = make_patches(
            cut(pixels, local, model.patch_px),
            images=np.full(len(origins), target.name),
            origins_yx=origins,
        )
        return WindowScores(core, origins, detector.score(model, patches), None)
    oddness = detector.score_map(model, target.survey, pixels, window, target.shape)
    inside = core.y0 - window.y0, core.x0 - window.x0
    return WindowScores(
        core,
        origins,
        pool(oddness, local, model.patch_px, detector.quantile),
        oddness[inside[0] : inside[0] + core.shape[0], inside[1] : inside[1] + core.shape[1]],
    )


def score_image(
    detector: Any, model: DefectModel, target: Target, image: NDArray[np.generic]
) -> WindowScores:
    """Score all patches of an image that is in memory."""
    whole = Window(0, 0, *target.shape)
    return score_window(detector, model, target, core=whole, window=whole, image=image)


def pool(
    oddness: Floats, origins_yx: NDArray[np.int64], patch_px: int, quantile: float
) -> NDArray[np.float64]:
    """Return how odd patches of a map are: its maximum in each, or a quantile."""
    scores = np.empty(len(origins_yx))
    for rows in _some(len(origins_yx)):
        parts = cut(oddness, origins_yx[rows], patch_px).reshape(len(rows), -1)
        scores[rows] = parts.max(axis=1) if quantile == 1 else np.quantile(parts, quantile, axis=1)
    return scores


def _origins_in(core: Window, target: Target, patch_px: int) -> NDArray[np.int64]:
    grid = plan_grid(target.shape, patch_px=patch_px, stride_px=target.stride_px)
    low, high = np.array([core.y0, core.x0]), np.array([core.y1, core.x1])
    return grid[((grid >= low) & (grid < high)).all(axis=1)]


def _some(n: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, n, 4096):
        yield np.arange(start, min(start + 4096, n))
