"""Defects that somebody knows of: points, boxes or masks, and what they say of patches."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import LabelError

_POINT, _BOX = ("y", "x"), ("y0", "x0", "y1", "x1")
#: Reach of a point whose file does not say one, in pixels.
DEFAULT_RADIUS_PX = 8.0


@dataclass(frozen=True)
class KnownDefect:
    """A defect in an image: its centre, and how far it reaches, in pixels."""

    image: str
    y: float
    x: float
    radius_px: float
    kind: str = ""


def read_known(path: Path, images: Collection[str]) -> list[KnownDefect]:
    """Read a CSV file of defects.

    Columns: ``image``; ``y,x`` (and perhaps ``radius_px``) or the half-open box ``y0,x0,y1,x1``;
    perhaps ``kind``. Lengths are in pixels of the full mosaic.

    Parameters
    ----------
    path : Path
        The file.
    images : collection of str
        Names of mosaics that the file may speak of.

    Raises
    ------
    LabelError
        Naming the file, the line and what is wrong with it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            columns = set(rows[0]) if rows else {"image", *_POINT}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"labels {path} cannot be read: {error}") from error
    if "image" not in columns or not (columns >= set(_POINT) or columns >= set(_BOX)):
        raise LabelError(
            f"labels {path} must have the columns image,y,x or image,y0,x0,y1,x1, "
            f"got {','.join(sorted(str(name) for name in columns))}"
        )
    found = [_parse(row, f"labels {path}, line {i}") for i, row in enumerate(rows, start=2)]
    if unknown := sorted({defect.image for defect in found} - set(images)):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise LabelError(f"labels {path} name an image that is not there: {unknown[0]!r}{more}")
    return found


def write_known(path: Path, defects: Sequence[KnownDefect]) -> None:
    """Write defects as a CSV file that `read_known` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "y", "x", "radius_px", "kind"])
        for d in defects:
            writer.writerow([d.image, f"{d.y:.3f}", f"{d.x:.3f}", f"{d.radius_px:.3f}", d.kind])


def known_in_mask(image: str, instances: NDArray[np.integer]) -> list[KnownDefect]:
    """Return the objects of a mask or instance image (H, W) as defects."""
    from scipy.ndimage import find_objects, label

    ids = label(instances)[0] if instances.dtype == bool else instances
    boxes = [box for box in find_objects(ids.astype(np.int64)) if box is not None]
    return [_from_box(image, y.start, y.stop, x.start, x.stop) for y, x in boxes]


def mark(
    origins_yx: NDArray[np.int64], patch_px: int, defects: Sequence[KnownDefect]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.str_]]:
    """Tell which patches of an image hold a defect.

    Parameters
    ----------
    origins_yx : (N, 2) ndarray of int
        First pixels of patches.
    patch_px : int
        Their edge.
    defects : sequence of KnownDefect
        Those of this image.

    Returns
    -------
    is_defect : (N,) ndarray of bool
        A defect's centre lies in the patch.
    is_doubtful : (N,) ndarray of bool
        A defect reaches into the patch, but no centre lies in it.
    kinds : (N,) ndarray of str
        Of the first defect whose centre lies in it.
    """
    n = len(origins_yx)
    is_defect, touched = np.zeros(n, bool), np.zeros(n, bool)
    kinds = np.full(n, "", dtype="U32")
    for defect in defects:
        centre = np.array([defect.y, defect.x])
        # A pixel's centre has whole coordinates, so it reaches half a pixel to each side.
        low, high = origins_yx - 0.5, origins_yx + patch_px - 0.5
        holds = ((centre >= low) & (centre < high)).all(axis=1)
        gap = np.maximum(np.maximum(low - centre, centre - high), 0)
        touched |= np.hypot(*gap.T) < defect.radius_px
        kinds[holds & ~is_defect] = defect.kind
        is_defect |= holds
    return is_defect, touched & ~is_defect, kinds


def _parse(row: dict[str, str | None], where: str) -> KnownDefect:
    image, kind = row.get("image") or "", row.get("kind") or ""
    try:
        if row.get("y0"):
            y0, x0, y1, x1 = (float(row[name] or "") for name in _BOX)
            if not (y0 < y1 and x0 < x1):
                raise LabelError(f"{where}: a box must have y0 < y1 and x0 < x1, got {row}")
            return _from_box(image, y0, y1, x0, x1, kind)
        y, x = (float(row[name] or "") for name in _POINT)
        radius = float(row.get("radius_px") or DEFAULT_RADIUS_PX)
    except (ValueError, KeyError) as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError(f"{where}: not a number ({error})") from None
    if not (np.isfinite([y, x, radius]).all() and radius > 0):
        raise LabelError(f"{where}: numbers must be finite and radius_px positive")
    return KnownDefect(image, y, x, radius, kind)


def _from_box(
    image: str, y0: float, y1: float, x0: float, x1: float, kind: str = ""
) -> KnownDefect:
    radius = max(y1 - y0, x1 - x0) / 2
    return KnownDefect(image, (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2, max(radius, 0.5), kind)
