"""Masks that cost nothing: several classical recipes, and how far they agree.

Every recipe says of each pixel whether it lies on an object, once for bright objects and once for
dark ones. Which of the two is meant is judged by shape: objects are compact, and what lies
between them is not. A pixel belongs to an object if most recipes say so, and is believed as
far as they agree, and as its object is solid: others are mostly several that touch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.filters import threshold_li

from pipelines.segmentation.learned.heights import instances_of
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.widths import instance_areas, typical_width_px
from pipelines.segmentation.masks import UNITS_PER_PX, distances
from pipelines.segmentation.overview import otsu
from pipelines.segmentation.persistence import SplitRule

#: When a neck parts two objects: as `SegmentationSettings` has it, a little more careful.
_RULE = SplitRule(1.0 * UNITS_PER_PX, 0.15)
#: Smaller objects are noise.
_LEAST_WIDTH_PX = 5.0
_MAX_RADIUS_PX = 200
#: What is believed of a pixel at least, of 255, and what of a contested polarity.
_LEAST_CONFIDENCE = 25
#: Share of its hull that an object fills: up to the first of these nothing of it is believed, from
#: the second all. Of objects that recipes find in simulated scenes hardly one below the first is a
#: true one (IoU 0.75), and two in three above the second: most of the others are several.
_DOUBTED, _SOLID = 0.75, 0.95

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class WeakMasks:
    """What classical methods make of an image.

    Attributes
    ----------
    instances : (H, W) int32 array
        Objects most recipes agree on.
    confidence : (H, W) uint8 array
        How far they agree, of 255.
    bright : bool
        Whether objects are brighter than what is between them.
    """

    instances: NDArray[np.int32]
    confidence: NDArray[np.uint8]
    bright: bool


def draw_weak_masks(image: NDArray[Any]) -> WeakMasks:
    """Mask an image by all recipes together.

    Parameters
    ----------
    image : (H, W) array
        Grey values of any depth.
    """
    grey = Normalisation.of(image).apply(image)
    found = []
    for bright in (True, False):
        votes = np.mean([recipe(grey if bright else -grey) for recipe in RECIPES.values()], axis=0)
        instances = split_mask(votes > 0.5)
        found.append((compactness(instances), bright, votes, instances))
    found.sort(key=lambda entry: entry[0])
    (worse, *_), (better, bright, votes, instances) = found
    # Where both polarities look alike, little of either can be believed.
    clear = min(1.0, 2 * (better - worse) / max(better, 1e-6) + 0.3)
    believed = np.abs(2 * votes - 1) * clear * 255 * _believed_shapes(instances)[instances]
    confidence = np.clip(believed, _LEAST_CONFIDENCE, 255).astype(np.uint8)
    return WeakMasks(instances, confidence, bright)


def segment_by(recipe: str, image: NDArray[Any]) -> NDArray[np.int32]:
    """Find the objects of an image by one recipe alone, of the likelier polarity."""
    grey = Normalisation.of(image).apply(image)
    found = [split_mask(RECIPES[recipe](signed)) for signed in (grey, -grey)]
    return max(found, key=compactness)


def split_mask(mask: Mask) -> NDArray[np.int32]:
    """Tidy a mask, and split it where it is narrow."""
    canvas = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, hierarchy = cv2.findContours(canvas, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros(mask.shape, dtype=np.int32)
    parents = hierarchy.reshape(-1, 4)[:, 3]
    typical = np.median([cv2.contourArea(c) for c in contours])
    for contour, parent in zip(contours, parents, strict=True):
        # Holes in objects, but not the gap in a ring of objects.
        if parent >= 0 and cv2.contourArea(contour) < max(typical, 30):
            cv2.fillPoly(canvas, [contour], 1)
    heights = distances(canvas.astype(np.bool_), _MAX_RADIUS_PX)
    return instances_of(heights, _RULE, least_area_px=np.pi / 4 * _LEAST_WIDTH_PX**2)


def compactness(instances: NDArray[np.int32]) -> float:
    """Judge whether a map shows objects, 0 to 1: how convex they are, weighed by their area.

    Objects that lie along the image's border, as what is between objects does, count less.
    """
    areas = instance_areas(instances)
    if areas.size == 0:
        return 0.0
    width = typical_width_px(areas)
    total = score = 0.0
    height, breadth = instances.shape
    for number, box in enumerate(find_objects(instances), start=1):
        if box is None:
            continue
        mask = instances[box] == number
        area = float(mask.sum())
        # Solid, and neither hollow nor spread out in its box: a disc fills it to 0.79.
        solid = _solidity(mask) * min(1.0, area / (0.6 * mask.size))
        rows, columns = box
        on_border = rows.start == 0 or columns.start == 0
        on_border |= rows.stop == height or columns.stop == breadth
        weight = min(area, 4 * width**2) * (0.5 if on_border else 1.0)
        total += weight
        score += weight * (0.2 * solid if area > 0.2 * instances.size else solid)
    return score / max(total, 1e-6)


def _solidity(mask: Mask) -> float:
    """Return the share of its convex hull that an object fills."""
    corners = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    hull = cv2.convexHull(np.concatenate(corners))
    # Corners are centres of pixels: half a pixel on every side is the object's too.
    hull_px = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return min(1.0, float(mask.sum()) / hull_px)


def _believed_shapes(instances: NDArray[np.int32]) -> Floats:
    """Return how far each object is believed to be one by its shape, by id; background wholly."""
    believed = np.ones(int(instances.max(initial=0)) + 1, dtype=np.float32)
    for number, box in enumerate(find_objects(instances), start=1):
        if box is not None:
            solid = _solidity(instances[box] == number)
            believed[number] = (solid - _DOUBTED) / (_SOLID - _DOUBTED)
    return np.clip(believed, 0.0, 1.0)


def _smoothed(grey: Floats, sigma: float = 1.2) -> Floats:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), dtype=np.float32)


def _flattened(grey: Floats) -> Floats:
    """Take away what varies over a quarter of the image."""
    smooth = _smoothed(grey)
    sigma = max(8.0, min(grey.shape) / 6)
    behind = cv2.GaussianBlur(smooth, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth - behind, dtype=np.float32)


def _by_otsu(grey: Floats) -> Mask:
    smooth = _smoothed(grey)
    return np.asarray(smooth > otsu(smooth))


def _by_flat_otsu(grey: Floats) -> Mask:
    flat = _flattened(grey)
    return np.asarray(flat > otsu(flat))


def _by_li(grey: Floats) -> Mask:
    smooth = _smoothed(grey)
    if np.ptp(smooth) == 0:
        return np.zeros(grey.shape, dtype=np.bool_)
    return np.asarray(smooth > threshold_li(smooth))


def _by_local_mean(grey: Floats) -> Mask:
    smooth = _smoothed(grey)
    sigma = max(6.0, min(grey.shape) / 12)
    mean = cv2.GaussianBlur(smooth, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    square = cv2.GaussianBlur(smooth * smooth, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    # In a flat neighbourhood noise alone would pass.
    return np.asarray(smooth > mean + np.maximum(0.15 * spread, 0.25 * float(smooth.std())))


def _by_coarse_otsu(grey: Floats) -> Mask:
    smooth = _smoothed(grey, 2.5)
    return np.asarray(smooth > otsu(smooth))


#: Recipes by name, each from normalised grey values to a mask of what is bright.
RECIPES: dict[str, Callable[[Floats], Mask]] = {
    "otsu": _by_otsu,
    "flat-otsu": _by_flat_otsu,
    "li": _by_li,
    "local-mean": _by_local_mean,
    "coarse-otsu": _by_coarse_otsu,
}
