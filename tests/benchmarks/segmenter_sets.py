"""Real images to try segmenters on; none of them is part of the project."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.optimize import linear_sum_assignment

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Picture:
    """One image with its truth, whichever there is."""

    name: str
    image: NDArray[Any]
    instances: NDArray[np.int32]
    boxes: list[Box] = field(default_factory=list)

    @property
    def stained(self) -> bool:
        """Whether objects are dark on bright."""
        return bool(np.median(self.image) > 100)


def read_pictures(data: Path, name: str) -> list[Picture]:
    masks = {"dsb2018": "labels", "emps": "segmaps"}[name]
    found = []
    for path in sorted((data / name / "images").glob("*.png")):
        instances = cv2.imread(str(data / name / masks / path.name), -1).astype(np.int32)
        found.append(Picture(path.stem[:12], read_grey(path), instances))
    # Both kinds in every fold.
    return sorted(found, key=lambda p: (p.stained, p.name)) if name == "dsb2018" else found


def read_boxed(data: Path) -> list[Picture]:
    folder = data / "stem-np-boxes"
    found = []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = read_grey(path)
        height, width = image.shape
        boxes = []
        for line in (folder / "labels" / f"{path.stem}.txt").read_text().splitlines():
            _, x, y, w, h = (float(word) for word in line.split())
            boxes.append(
                (
                    (y - h / 2) * height,
                    (x - w / 2) * width,
                    (y + h / 2) * height,
                    (x + w / 2) * width,
                )
            )
        found.append(Picture(path.stem, image, np.zeros(image.shape, np.int32), boxes))
    return found


def read_grey(path: Path) -> NDArray[Any]:
    image = cv2.imread(str(path), -1)
    return cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image


def boxes_of(instances: NDArray[np.int32]) -> list[Box]:
    return [
        (rows.start, columns.start, rows.stop, columns.stop)
        for rows, columns in find_objects(instances)
    ]


def typical_box_px(boxes: Sequence[Box]) -> float:
    """Return the median of the boxes' widths, each the edge of a square of equal area."""
    return float(np.median([np.sqrt((y1 - y0) * (x1 - x0)) for y0, x0, y1, x1 in boxes]))


def match_boxes(truth: Sequence[Any], found: Sequence[Any]) -> int:
    """Count pairs of boxes, one to one, whose IoU is at least 0.5."""
    if not truth or not found:
        return 0
    a, b = np.array(truth)[:, None], np.array(found)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.clip(sides, 0, None).prod(axis=-1)
    area = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b)]
    iou = both / (area[0] + area[1] - both)
    rows, columns = linear_sum_assignment(-(iou >= 0.5).astype(float))
    return int((iou[rows, columns] >= 0.5).sum())
