"""OME-Zarr images of versions 0.1 to 0.5 (Zarr v2 and v3): the first plane of the finest level.

A Zarr's metadata choose the codecs that run, and some codecs (pickle) run what they are given;
so codecs are checked against a list before anything is opened.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipelines.errors import MosaicError
from pipelines.mosaic.layout import codec_engine
from pipelines.mosaic.pixel_size import PixelSize, in_nm, make
from pipelines.mosaic.raw_image import (
    BEST_MODERN_RATIO,
    RawImage,
    check_piece,
    check_ratio,
    check_shape,
)
from pipelines.records import Window

_PLAIN_CODECS = ("zlib", "lz4", "lzma", "bz2", "shuffle", "delta", "blosc", "zstd", "gzip")
_CODECS = frozenset(
    {"bytes", "transpose", "crc32c", "sharding_indexed", *_PLAIN_CODECS}
    | {f"numcodecs.{name}" for name in _PLAIN_CODECS}
)
#: Axes of images before version 0.3, and of those that name none.
_OLD_AXES = ("t", "c", "z", "y", "x")
_LARGEST_JSON_BYTES = 64 << 20


@contextmanager
def open_zarr_image(path: Path) -> Iterator[RawImage]:
    """Open an OME-Zarr image.

    Raises
    ------
    MosaicError
        If it is no image, or one that is not read. Damaged ones raise Zarr's own errors too.
    """
    group, notes = _image_group(path)
    multiscale = _multiscale(group)
    axes = _axes(multiscale)
    dataset = _first(multiscale.get("datasets"), "dataset")
    array = group / _inside(dataset.get("path"))
    plane = open_plane(array, axes)
    # Missing chunks are empty ones, so a few bytes could claim a picture without end.
    n_stored_bytes = sum(file.stat().st_size for file in array.rglob("*") if file.is_file())
    n_bytes = plane.shape[0] * plane.shape[1] * plane.dtype.itemsize
    check_ratio(n_bytes, n_stored_bytes, BEST_MODERN_RATIO)
    left = [f"{n} {axis}" for axis, n in plane.others.items() if n > 1]
    if left:
        notes = (*notes, f"the first plane of {', '.join(left)}")
    ours = read_json_attributes(path).get("tessera", {})
    yield RawImage(
        shape=plane.shape,
        dtype=plane.dtype,
        read=plane.read,
        format="OME-Zarr",
        piece=plane.piece,
        piece_bytes=plane.piece_bytes,
        pixel_size=_pixel_size(multiscale, dataset, axes),
        notes=notes,
        details=ours.get("acquisition", {}) if isinstance(ours, Mapping) else {},
    )


class Plane:
    """The first (y, x) plane of an array of any number of axes."""

    def __init__(self, array: zarr.Array[Any], axes: tuple[str, ...]) -> None:
        if len(axes) != array.ndim or "y" not in axes or "x" not in axes:
            raise MosaicError(f"its axes {axes} do not fit an array of shape {array.shape}")
        self._array, self._y, self._x = array, axes.index("y"), axes.index("x")
        self.shape = check_shape(array.shape[self._y], array.shape[self._x])
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.others = {a: array.shape[i] for i, a in enumerate(axes) if a not in "yx"}
        if 0 in self.others.values():
            raise MosaicError(f"its shape {array.shape} has no plane")
        self.piece = (array.chunks[self._y], array.chunks[self._x])
        chunk_bytes = int(np.prod(array.chunks, dtype=object)) * self.dtype.itemsize
        self.piece_bytes = check_piece(chunk_bytes, "chunk")

    def read(self, window: Window) -> NDArray[Any]:
        """Read a rectangle of the plane as (y, x)."""
        index: list[int | slice] = [0] * self._array.ndim
        index[self._y], index[self._x] = window.slices
        block = np.asarray(self._array[tuple(index)])
        return block.T if self._x < self._y else block


def open_plane(path: Path, axes: tuple[str, ...]) -> Plane:
    """Open an array whose codecs are known to be harmless."""
    _check_codecs(path)
    with codec_engine(fast=False):
        return Plane(zarr.open_array(str(path), mode="r"), axes)


def read_json_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr group of either format; empty where there are none."""
    v3 = _read_json(path / "zarr.json")
    found = v3.get("attributes", {}) if v3 is not None else (_read_json(path / ".zattrs") or {})
    return found if isinstance(found, dict) else {}


def label_path(path: Path, name: str) -> Path | None:
    """Return the group of a label image, if the image lists one of this name."""
    group, _ = _image_group(path)
    attributes = read_json_attributes(group / "labels")
    names = attributes.get("ome", attributes).get("labels", [])
    return group / "labels" / name if isinstance(names, list) and name in names else None


def open_label(path: Path) -> Plane:
    """Open the finest level of a label image."""
    multiscale = _multiscale(path)
    dataset = _first(multiscale.get("datasets"), "dataset")
    return open_plane(path / _inside(dataset.get("path")), _axes(multiscale))


def _image_group(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Find the image; a file of several (bioformats2raw) counts as its first."""
    attributes = read_json_attributes(path)
    ours = attributes.get("ome", attributes)
    if isinstance(ours, dict) and "plate" in ours:
        raise MosaicError("it is a plate of many images; name one of the images inside")
    if isinstance(ours, dict) and "bioformats2raw.layout" in ours:
        return path / "0", ("the first image of several",)
    return path, ()


def _multiscale(group: Path) -> dict[str, Any]:
    attributes = read_json_attributes(group)
    ours = attributes.get("ome", attributes)
    if not isinstance(ours, dict) or "multiscales" not in ours:
        raise MosaicError("it is a Zarr, but not an OME-Zarr image (no multiscales)")
    return _first(ours["multiscales"], "multiscale")


def _first(values: Any, what: str) -> dict[str, Any]:
    if not isinstance(values, list) or not values or not isinstance(values[0], dict):
        raise MosaicError(f"its metadata list no {what}")
    first: dict[str, Any] = values[0]
    return first


def _axes(multiscale: Mapping[str, Any]) -> tuple[str, ...]:
    axes = multiscale.get("axes") or _OLD_AXES
    if not isinstance(axes, list | tuple):
        raise MosaicError(f"its axes must be a list, got {axes!r}")
    return tuple(str(axis.get("name")) if isinstance(axis, dict) else str(axis) for axis in axes)


def _inside(path: Any) -> str:
    """Return a dataset's path if it lies inside its group."""
    if (
        not isinstance(path, str)
        or not path
        or not set(PurePosixPath(path).parts).isdisjoint({"..", "/"})
    ):
        raise MosaicError(f"a dataset's path must lie inside the image, got {path!r}")
    return path


def _pixel_size(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: tuple[str, ...]
) -> PixelSize | None:
    named = multiscale.get("axes") or ()
    edges = {}
    for name in "yx":
        i = axes.index(name)
        unit = named[i].get("unit") if i < len(named) and isinstance(named[i], dict) else None
        scale = _scale(dataset, i) * _scale(multiscale, i)
        edges[name] = in_nm(scale, unit)
    return make(edges["y"], edges["x"], "OME-Zarr scale")


def _scale(node: Mapping[str, Any], axis: int) -> float:
    """Return an axis's scale by a node's transformations; 1 where none is given."""
    for transform in node.get("coordinateTransformations") or []:
        if isinstance(transform, dict) and transform.get("type") == "scale":
            try:
                return float(transform["scale"][axis])
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise MosaicError(f"its scale is damaged: {transform!r:.80}") from error
    return 1.0


def _check_codecs(path: Path) -> None:
    v3, v2 = _read_json(path / "zarr.json"), _read_json(path / ".zarray")
    if v3 is None and v2 is None:
        raise MosaicError(f"its array {path.name} is missing")
    if v3 is not None:
        used = set(_v3_codecs(v3.get("codecs", [])))
    else:
        assert v2 is not None
        filters = [*(v2.get("filters") or []), v2.get("compressor")]
        used = {str(f.get("id")) for f in filters if isinstance(f, dict)}
    if unknown := sorted(used - _CODECS):
        raise MosaicError(f"its codec {', '.join(unknown)} is not read")


def _v3_codecs(codecs: Any) -> Iterator[str]:
    for codec in codecs if isinstance(codecs, list) else []:
        if not isinstance(codec, dict):
            yield str(codec)
            continue
        yield str(codec.get("name"))
        inner = codec.get("configuration")
        if isinstance(inner, dict):
            yield from _v3_codecs(inner.get("codecs"))
            yield from _v3_codecs(inner.get("index_codecs"))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _LARGEST_JSON_BYTES:
            raise MosaicError(f"its metadata {path.name} are larger than 64 MiB")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise MosaicError(f"its metadata {path.name} are damaged: {error}") from error
    return content if isinstance(content, dict) else {}
