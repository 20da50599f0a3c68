"""What the network is to say of each pixel, from an instance map."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: Widths are learned as powers of two of the working width, so far in either direction.
WIDTH_OCTAVES = 2.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Targets:
    """Targets of a patch.

    Attributes
    ----------
    fields : (4, H, W) float32 array
        In the order of `learned.network.FIELDS`: foreground, 0 or 1; depth, 0 outside and up to 1
        in the middle of each object; edge, 1 on pixels that touch another object or lie next to
        the rim of their own, else 0; width, log2 of the object's width over the working width.
    weights : (4, H, W) float32 array
        How much each counts.
    """

    fields: Floats
    weights: Floats


def make_targets(
    instances: NDArray[Any], *, object_px: float, confidence: Floats | None = None
) -> Targets:
    """Make the targets of an instance map.

    Parameters
    ----------
    instances : (H, W) integer array
        0 is background. An object that the border cuts is taken as it shows.
    object_px : float
        The working width.
    confidence : (H, W) float32 array, optional
        How far each pixel can be believed, 0 to 1.

    Examples
    --------
    >>> found = make_targets(np.array([[0, 1, 1, 1, 2, 2, 2, 0]] * 3), object_px=3.0)
    >>> found.fields[0, 1].astype(int).tolist()
    [0, 1, 1, 1, 1, 1, 1, 0]
    >>> found.fields[2, 1].astype(int).tolist()
    [0, 1, 0, 1, 1, 0, 1, 0]
    """
    foreground = instances > 0
    rim = find_rim(instances)
    inside = foreground & ~rim
    # A pixel on the rim is half a pixel from the edge.
    distance = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 5) + np.float32(0.5)
    distance[~foreground] = 0
    index = _numbered(instances)
    n_ids = int(index.max(initial=0)) + 1
    largest = np.zeros(n_ids, dtype=np.float32)
    np.maximum.at(largest, index.reshape(-1), distance.reshape(-1))
    area = np.bincount(index.reshape(-1), minlength=n_ids)
    octaves = np.log2(np.maximum(2 * np.sqrt(area / np.pi), 1.0) / object_px)
    largest[largest == 0] = 1
    octaves[0] = 0
    fields = np.stack(
        [
            foreground.astype(np.float32),
            distance / largest[index],
            rim.astype(np.float32),
            np.clip(octaves, -WIDTH_OCTAVES, WIDTH_OCTAVES).astype(np.float32)[index],
        ]
    )
    believed = np.ones(instances.shape, np.float32) if confidence is None else confidence
    return Targets(fields, np.stack([believed, believed, believed, believed * foreground]))


def find_rim(instances: NDArray[Any]) -> NDArray[np.bool_]:
    """Find pixels of objects that have one of four neighbours in another object or none."""
    rim = np.zeros(instances.shape, dtype=np.bool_)
    down = instances[1:] != instances[:-1]
    right = instances[:, 1:] != instances[:, :-1]
    rim[1:] |= down
    rim[:-1] |= down
    rim[:, 1:] |= right
    rim[:, :-1] |= right
    rim &= instances > 0
    return rim


def _numbered(instances: NDArray[Any]) -> NDArray[np.int64]:
    """Give ids small numbers, if they are not small already."""
    if int(instances.max(initial=0)) < instances.size:
        return instances.astype(np.int64)
    _, flat = np.unique(np.append(instances.reshape(-1), 0), return_inverse=True)
    return np.asarray(flat[:-1].reshape(instances.shape), dtype=np.int64)
