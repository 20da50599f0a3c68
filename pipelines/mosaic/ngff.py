"""OME-Zarr 0.5 metadata, written by ourselves: small, and valid for every reader we know.

Geometry of the levels: level k has one pixel for ``2**k`` pixels of level 0 along each axis,
rounded up. Where a level holds area means, the centre of its first pixel lies
``(2**k - 1) / 2`` pixels inside the image, and the metadata say so; where it holds every
``2**k``-th pixel (instances), it lies on the first pixel.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.archive import write_text

NGFF_VERSION = "0.5"
#: Levels are added until the largest edge is at most this.
SMALLEST_LEVEL_PX = 512
AXES = ("y", "x")
GROUP_FILE = "zarr.json"


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """List the shapes of all levels of an image, the full one first.

    Examples
    --------
    >>> level_shapes((1025, 600))
    [(1025, 600), (513, 300), (257, 150)]
    """
    shapes = [shape]
    while max(shapes[-1]) > SMALLEST_LEVEL_PX:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return shapes


def image_metadata(name: str, n_levels: int, pixel_size_nm: float | None) -> dict[str, Any]:
    """Describe a pyramid of area means."""
    return {
        "version": NGFF_VERSION,
        "multiscales": [_multiscale(name, n_levels, pixel_size_nm, kind="mean")],
    }


def instances_metadata(name: str, n_levels: int, pixel_size_nm: float | None) -> dict[str, Any]:
    """Describe a pyramid of instance ids, as an image label of the image two groups above."""
    return {
        "version": NGFF_VERSION,
        "multiscales": [_multiscale(name, n_levels, pixel_size_nm, kind="nearest")],
        "image-label": {"source": {"image": "../../"}},
    }


def _multiscale(
    name: str, n_levels: int, pixel_size_nm: float | None, *, kind: str
) -> dict[str, Any]:
    # Without a pixel size no unit is claimed: the scale then counts pixels.
    unit = {} if pixel_size_nm is None else {"unit": "nanometer"}
    pixel = 1.0 if pixel_size_nm is None else float(pixel_size_nm)
    datasets = []
    for k in range(n_levels):
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [pixel * 2**k] * 2}]
        if kind == "mean" and k > 0:
            offset = pixel * (2**k - 1) / 2
            transforms.append({"type": "translation", "translation": [offset] * 2})
        datasets.append({"path": str(k), "coordinateTransformations": transforms})
    return {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in AXES],
        "datasets": datasets,
        "type": kind,
    }


def write_group(path: Path, attributes: Mapping[str, Any]) -> None:
    """Write a Zarr v3 group's metadata, whole or not at all."""
    path.mkdir(parents=True, exist_ok=True)
    content = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    write_text(path / GROUP_FILE, json.dumps(content, indent=1) + "\n")


def read_attributes(path: Path) -> dict[str, Any] | None:
    """Return the attributes of the Zarr v3 node at ``path``; None where there is none.

    Raises
    ------
    ValueError
        If the metadata are damaged.
    """
    try:
        content = json.loads((path / GROUP_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("attributes", {}), dict):
        raise ValueError(f"{path / GROUP_FILE} is not Zarr metadata")
    attributes: dict[str, Any] = content.get("attributes", {})
    return attributes
