"""Create mosaics: level 0 in whole shards from any process, the rest and the name at the end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipelines.archive import MOSAIC_SUFFIX
from pipelines.errors import MosaicError
from pipelines.mosaic.images import MosaicInfo, open_mosaic
from pipelines.mosaic.layout import (
    IMAGE_ZSTD_LEVEL,
    check_whole_shards,
    create_array,
    open_array,
)
from pipelines.mosaic.ngff import image_metadata, level_shapes, write_group
from pipelines.mosaic.pyramid import DIGEST_BLOCK_PX, build_first_level, build_level, halve_mean
from pipelines.mosaic.tiling import blocks
from pipelines.places import move, remove_tree
from pipelines.records import Window

#: The pixel types that a mosaic may have.
DTYPES = (np.dtype("uint8"), np.dtype("uint16"), np.dtype("float32"))


@dataclass(frozen=True)
class MosaicWriter:
    """Writes level 0 in whole shards, from any process; one process finishes.

    Everything lies in a hidden folder beside ``path`` until `finish` renames it.
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixel_size_nm: float | None
    acquisition: Mapping[str, Any]
    chunk_px: int
    shard_px: int

    @property
    def partial(self) -> Path:
        """Where the unfinished mosaic lies."""
        return self.path.with_name(f".{self.path.name}.partial")

    def write(self, y0: int, x0: int, block: NDArray[Any]) -> None:
        """Write whole shards: ``block`` begins at (``y0``, ``x0``), in pixels.

        Raises
        ------
        ValueError
            If the block does not cover whole shards, or has another dtype than the mosaic.
        """
        window = Window(y0, x0, y0 + block.shape[0], x0 + block.shape[1])
        check_whole_shards(window, self.shape, self.shard_px)
        if block.dtype != self.dtype:
            raise ValueError(f"block must have dtype {self.dtype}, got {block.dtype}")
        open_array(self.partial / "0", writable=True)[window.slices] = block

    def finish(self) -> MosaicInfo:
        """Build the pyramid, digest and statistics; only then is the mosaic there.

        Raises
        ------
        MosaicError
            If a pixel is not finite.
        """
        source = open_array(self.partial / "0")
        shapes = level_shapes(self.shape)
        region_px = math.lcm(DIGEST_BLOCK_PX, 2 * self.shard_px)
        target = self._create_level(1, shapes[1]) if len(shapes) > 1 else None
        summary = build_first_level(source, target, region_px=region_px)
        if not math.isfinite(summary.minimum) or not math.isfinite(summary.maximum):
            raise MosaicError(f"mosaic {self.path} has pixels that are not finite")
        levels = [source] if target is None else [source, target]
        for k in range(2, len(shapes)):
            levels.append(self._create_level(k, shapes[k]))
            build_level(levels[k - 1], levels[k], halve_mean, region_px=region_px)
        sample = next(level for level in levels if max(level.shape) <= DIGEST_BLOCK_PX)
        name = self.path.name.removesuffix(MOSAIC_SUFFIX)
        ours = {
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "pixel_size_nm": self.pixel_size_nm,
            "digest": summary.digest(),
            "statistics": summary.statistics(np.asarray(sample[...])),
            "acquisition": dict(self.acquisition),
        }
        ome = image_metadata(name, len(shapes), self.pixel_size_nm)
        write_group(self.partial, {"ome": ome, "tessera": ours})
        move(self.partial, self.path)
        return open_mosaic(self.path).info

    def discard(self) -> None:
        """Remove what an unfinished mosaic left."""
        remove_tree(self.partial)

    def _create_level(self, k: int, shape: tuple[int, int]) -> zarr.Array[Any]:
        return create_array(
            self.partial / str(k),
            shape=shape,
            dtype=self.dtype,
            chunk_px=self.chunk_px,
            shard_px=self.shard_px,
            zstd_level=IMAGE_ZSTD_LEVEL,
        )


def create_mosaic(
    path: Path,
    *,
    shape: tuple[int, ...],
    dtype: Any,
    pixel_size_nm: float | None,
    acquisition: Mapping[str, Any] | None = None,
    chunk_px: int = 512,
    shard_px: int = 2048,
) -> MosaicWriter:
    """Begin a mosaic at ``path``, which must not be there yet.

    Parameters
    ----------
    path : Path
        Where the mosaic will be once finished; ends in ``.ome.zarr``.
    shape : (int, int)
        Height and width, in pixels.
    dtype : dtype-like
        uint8, uint16 or float32.
    pixel_size_nm : float or None
        Edge of a pixel, in nanometres; None if unknown.
    acquisition : mapping, optional
        What is known of how the image was made, as JSON-like values.
    chunk_px, shard_px : int
        Edge of a chunk, and of a shard (one file), in pixels.

    Raises
    ------
    MosaicError
        If something is at ``path``, or the shape, dtype or pixel size breaks its rule.
    """
    dtype = np.dtype(dtype)
    if dtype not in DTYPES:
        raise MosaicError(f"mosaic dtype must be uint8, uint16 or float32, got {dtype}")
    if len(shape) != 2 or min(shape) < 1:
        raise MosaicError(f"mosaic shape must be (height, width) of at least 1, got {shape}")
    if pixel_size_nm is not None and not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise MosaicError(f"pixel_size_nm must be positive and finite, got {pixel_size_nm}")
    if not path.name.endswith(MOSAIC_SUFFIX):
        raise MosaicError(f"a mosaic's name must end in {MOSAIC_SUFFIX}, got {path.name!r}")
    if path.exists():
        raise MosaicError(f"mosaic {path} is there already")
    writer = MosaicWriter(
        path=path,
        shape=(int(shape[0]), int(shape[1])),
        dtype=dtype,
        pixel_size_nm=None if pixel_size_nm is None else float(pixel_size_nm),
        acquisition=dict(acquisition or {}),
        chunk_px=chunk_px,
        shard_px=shard_px,
    )
    # What an interrupted run left can be made again.
    writer.discard()
    writer._create_level(0, writer.shape)
    return writer


def write_mosaic(
    path: Path,
    image: NDArray[Any],
    *,
    pixel_size_nm: float | None,
    acquisition: Mapping[str, Any] | None = None,
) -> MosaicInfo:
    """Write a 2-D image that is in memory as a mosaic, whole or not at all."""
    writer = create_mosaic(
        path,
        shape=image.shape,
        dtype=image.dtype,
        pixel_size_nm=pixel_size_nm,
        acquisition=acquisition,
    )
    try:
        for window in blocks(writer.shape, writer.shard_px):
            writer.write(window.y0, window.x0, image[window.slices])
        return writer.finish()
    except BaseException:
        writer.discard()
        raise
