"""Instance images inside a mosaic: one id per particle, written in parallel, published at the end.

Each level is cut into shards of the core's edge divided by the level's downsampling, so a task
that owns a core owns its shards at every level it writes: no two tasks touch one file, and any
task may run twice. Levels whose shards would be tiny are written by `InstanceWriter.finish`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipelines.errors import MosaicError
from pipelines.mosaic.layout import (
    INSTANCES_ZSTD_LEVEL,
    check_whole_shards,
    create_array,
    open_array,
)
from pipelines.mosaic.ngff import (
    GROUP_FILE,
    NGFF_VERSION,
    instances_metadata,
    level_shapes,
    read_attributes,
    write_group,
)
from pipelines.mosaic.pyramid import DIGEST_BLOCK_PX, build_level, halve_nearest, read_block
from pipelines.places import remove_tree
from pipelines.records import Window

DTYPE = np.dtype("uint32")
#: A task writes a level while its core covers at least this many pixels of it.
SMALLEST_TASK_SHARD_PX = 128


@dataclass(frozen=True)
class InstanceImage:
    """A published instance image: 0 is background, every other value one particle."""

    path: Path
    attributes: Mapping[str, Any]
    n_levels: int
    _levels: dict[int, zarr.Array[Any]] = field(default_factory=dict, repr=False, compare=False)

    def level(self, k: int) -> zarr.Array[Any]:
        """Return the uint32 Zarr array of level ``k``, with axes (y, x)."""
        if not 0 <= k < self.n_levels:
            raise MosaicError(f"{self.path} has levels 0 to {self.n_levels - 1}, got {k}")
        if k not in self._levels:
            self._levels[k] = open_array(self.path / str(k))
        return self._levels[k]

    def read(self, window: Window, level: int = 0) -> NDArray[np.uint32]:
        """Read the rectangle ``window``, in pixels of ``level``."""
        return read_block(self.level(level), window)


def has_instances(mosaic_path: Path, name: str = "instances") -> bool:
    """Tell whether the mosaic has a published instance image of this name."""
    return name in _published(mosaic_path)


def open_instances(mosaic_path: Path, name: str = "instances") -> InstanceImage:
    """Open a published instance image.

    Raises
    ------
    MosaicError
        If there is none, or it was not written by us.
    """
    path = mosaic_path / "labels" / name
    if not has_instances(mosaic_path, name):
        raise MosaicError(f"mosaic {mosaic_path} has no labels/{name}")
    attributes = read_attributes(path) or {}
    try:
        ours = attributes["tessera"]
        n_levels = len(attributes["ome"]["multiscales"][0]["datasets"])
    except (KeyError, TypeError, IndexError) as error:
        raise MosaicError(f"{path} was not written by tessera (no {error})") from None
    return InstanceImage(path, ours, n_levels)


def create_instances(
    mosaic_path: Path,
    name: str = "instances",
    *,
    shape: tuple[int, int],
    pixel_size_nm: float | None,
    shard_px: int = 2048,
    chunk_px: int = 512,
    attributes: Mapping[str, Any] | None = None,
) -> "InstanceWriter":
    """Begin an instance image, or go on with an unfinished one of equal geometry and attributes.

    Parameters
    ----------
    mosaic_path : Path
        The mosaic.
    name : str
        Its name under ``labels/``.
    shape : (int, int)
        Height and width of the mosaic, in pixels.
    pixel_size_nm : float or None
        The mosaic's.
    shard_px : int
        Edge of a core, in pixels: what one task writes at level 0.
    chunk_px : int
        Largest edge of a chunk, in pixels; lowered to a divisor of the shard where need be.
    attributes : mapping, optional
        JSON-like values to keep with it, such as what made it.

    Returns
    -------
    writer : InstanceWriter
        An earlier image of this name is no longer published; where geometry or attributes
        differ from it, its pixels are gone too.
    """
    if shard_px < 1 or chunk_px < 1:
        raise ValueError(f"shard_px and chunk_px must be positive, got {shard_px}, {chunk_px}")
    ours = {
        "shape": list(shape),
        "shard_px": shard_px,
        "pixel_size_nm": pixel_size_nm,
        "attributes": dict(attributes or {}),
    }
    path = mosaic_path / "labels" / name
    _publish(mosaic_path, [other for other in _published(mosaic_path) if other != name])
    (path / GROUP_FILE).unlink(missing_ok=True)
    writer = InstanceWriter(mosaic_path, name)
    if _pending(path) != ours:
        remove_tree(path)
        shapes = level_shapes(shape)
        # Level 0 last: it carries the mark by which an unfinished image is known again.
        for k in reversed(range(len(shapes))):
            shard = shard_px >> k if k < _n_task_levels(shape, shard_px) else 2048
            create_array(
                path / str(k),
                shape=shapes[k],
                dtype=DTYPE,
                chunk_px=_divisor(shard, chunk_px),
                shard_px=shard,
                zstd_level=INSTANCES_ZSTD_LEVEL,
                attributes={"tessera": ours} if k == 0 else None,
            )
    return writer


@dataclass(frozen=True)
class InstanceWriter:
    """Writes an instance image that `create_instances` began; its path is all it needs."""

    mosaic_path: Path
    name: str = "instances"
    _state: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"mosaic_path": self.mosaic_path, "name": self.name, "_state": {}}

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.mosaic_path / "labels" / self.name

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        height, width = self._pending["shape"]
        return int(height), int(width)

    def write_core(self, core: Window, block: NDArray[np.uint32]) -> None:
        """Write a core, and what it covers of every level that tasks write.

        Parameters
        ----------
        core : Window
            Whole shards of level 0: edges at multiples of ``shard_px`` or at the mosaic's edge.
        block : (H, W) array of uint32
            The core's pixels.

        Raises
        ------
        ValueError
            If the core does not cover whole shards, or ``block`` does not fit it.
        """
        shard_px = int(self._pending["shard_px"])
        check_whole_shards(core, self.shape, shard_px)
        if block.shape != core.shape or block.dtype != DTYPE:
            raise ValueError(
                f"block must be {DTYPE} of shape {core.shape}, got {block.dtype} of {block.shape}"
            )
        for k in range(_n_task_levels(self.shape, shard_px)):
            y0, x0 = core.y0 >> k, core.x0 >> k
            self._level(k)[y0 : y0 + block.shape[0], x0 : x0 + block.shape[1]] = block
            block = halve_nearest(block)

    def finish(self) -> InstanceImage:
        """Write the deeper levels, and publish the image among the mosaic's labels."""
        shapes = level_shapes(self.shape)
        for k in range(_n_task_levels(self.shape, int(self._pending["shard_px"])), len(shapes)):
            build_level(
                self._level(k - 1), self._level(k), halve_nearest, region_px=2 * DIGEST_BLOCK_PX
            )
        pixel_size_nm = self._pending["pixel_size_nm"]
        ome = instances_metadata(self.name, len(shapes), pixel_size_nm)
        write_group(self.path, {"ome": ome, "tessera": self._pending["attributes"]})
        _publish(self.mosaic_path, [*_published(self.mosaic_path), self.name])
        return open_instances(self.mosaic_path, self.name)

    @property
    def _pending(self) -> dict[str, Any]:
        if "pending" not in self._state:
            pending = _pending(self.path)
            if pending is None:
                raise MosaicError(f"{self.path} was not begun")
            self._state["pending"] = pending
        found: dict[str, Any] = self._state["pending"]
        return found

    def _level(self, k: int) -> zarr.Array[Any]:
        if str(k) not in self._state:
            self._state[str(k)] = open_array(self.path / str(k), writable=True)
        array: zarr.Array[Any] = self._state[str(k)]
        return array


def _n_task_levels(shape: tuple[int, int], shard_px: int) -> int:
    """Count the levels that tasks write: those whose shards lie wholly in one core."""
    n_levels = len(level_shapes(shape))
    n_task = 1
    while (
        n_task < n_levels
        and shard_px % 2**n_task == 0
        and shard_px >> n_task >= SMALLEST_TASK_SHARD_PX
    ):
        n_task += 1
    return n_task


def _divisor(shard_px: int, chunk_px: int) -> int:
    """Return the largest divisor of the shard that is at most ``chunk_px``."""
    return next(d for d in range(min(chunk_px, shard_px), 0, -1) if shard_px % d == 0)


def _pending(path: Path) -> dict[str, Any] | None:
    attributes = read_attributes(path / "0") or {}
    return attributes.get("tessera")


def _published(mosaic_path: Path) -> list[str]:
    attributes = read_attributes(mosaic_path / "labels") or {}
    return list(attributes.get("ome", {}).get("labels", []))


def _publish(mosaic_path: Path, names: list[str]) -> None:
    labels = mosaic_path / "labels"
    if names or labels.exists():
        write_group(labels, {"ome": {"version": NGFF_VERSION, "labels": sorted(set(names))}})
