"""Which places are defects: peaks of a map above the threshold, or patches where there is none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, maximum_filter

from pipelines.defects.known import KnownDefect
from pipelines.defects.patches import Floats

#: Odd pixels nearer than this are one defect, in pixels.
JOIN_PX = 9


@dataclass(frozen=True)
class Found:
    """A place that is odd: its oddest pixel (or a patch's middle), its extent, its score."""

    y: float
    x: float
    size_px: float
    score: float


def find_in_map(oddness: Floats, threshold: float, *, y0: int = 0, x0: int = 0) -> list[Found]:
    """Return the places of a map (H, W), which begins at (``y0``, ``x0``), above a threshold."""
    odd = oddness >= threshold
    if not odd.any():
        return []
    parts, _ = label(maximum_filter(odd, JOIN_PX), structure=np.ones((3, 3)))
    found = []
    for number, box in enumerate(find_objects(parts), start=1):
        own = np.where((parts[box] == number) & odd[box], oddness[box], -np.inf)
        y, x = np.unravel_index(int(own.argmax()), own.shape)
        rows, columns = np.nonzero(np.isfinite(own))
        size = 1 + max(np.ptp(rows), np.ptp(columns))
        top = float(own.max())
        place = float(box[0].start + y + y0), float(box[1].start + x + x0)
        found.append(Found(*place, float(size), top))
    return found


def find_in_patches(
    origins_yx: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
    *,
    patch_px: int,
) -> list[Found]:
    """Return the middles of patches that score at least the threshold."""
    middle = (patch_px - 1) / 2
    return [
        Found(float(y + middle), float(x + middle), float(patch_px), float(score))
        for (y, x), score in zip(origins_yx, scores, strict=True)
        if score >= threshold
    ]


def kind_at(place: Found, known: list[KnownDefect]) -> str | None:
    """Return the kind of the nearest known defect that the place touches; None if there is none."""
    best, kind = np.inf, None
    for defect in known:
        distance = float(np.hypot(defect.y - place.y, defect.x - place.x))
        if distance <= defect.radius_px + place.size_px / 2 + JOIN_PX / 2 and distance < best:
            best, kind = distance, defect.kind or "defect"
    return kind
