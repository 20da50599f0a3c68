"""How arrays are cut into chunks and shards, and written."""

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import ZstdCodec

from pipelines.mosaic.ngff import AXES
from pipelines.places import in_bucket, zarr_store
from pipelines.records import Window

#: Level of zstd. On detector noise level 3 takes half as long again and saves nothing.
IMAGE_ZSTD_LEVEL = 1
INSTANCES_ZSTD_LEVEL = 1

_FAST = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1}
_PLAIN = {"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}
_CHOOSING = threading.RLock()


def plan_storage(
    shape: tuple[int, int], *, chunk_px: int, shard_px: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose chunk and shard of an array; an image smaller than one is not padded to it.

    Raises
    ------
    ValueError
        If ``shard_px`` is not a positive multiple of ``chunk_px``.

    Examples
    --------
    >>> plan_storage((9000, 700), chunk_px=512, shard_px=2048)
    ((512, 512), (2048, 1024))
    >>> plan_storage((256, 320), chunk_px=512, shard_px=2048)
    ((256, 320), (256, 320))
    """
    if chunk_px <= 0 or shard_px <= 0 or shard_px % chunk_px:
        raise ValueError(
            f"shard_px must be a multiple of chunk_px, got shard_px={shard_px}, chunk_px={chunk_px}"
        )
    chunk = (min(chunk_px, shape[0]), min(chunk_px, shape[1]))
    shard = (_shard_edge(shape[0], chunk[0], shard_px), _shard_edge(shape[1], chunk[1], shard_px))
    return chunk, shard


def create_array(
    path: Path,
    *,
    shape: tuple[int, int],
    dtype: Any,
    chunk_px: int,
    shard_px: int,
    zstd_level: int,
    attributes: dict[str, Any] | None = None,
) -> zarr.Array[Any]:
    """Create a 2-D array; one chunk needs no shard around it."""
    chunk, shard = plan_storage(shape, chunk_px=chunk_px, shard_px=shard_px)
    with codec_engine(fast=not in_bucket(path)):
        return zarr.create_array(
            zarr_store(path),
            shape=shape,
            dtype=dtype,
            chunks=chunk,
            shards=None if chunk == shard else shard,
            compressors=ZstdCodec(level=zstd_level),
            fill_value=0,
            dimension_names=list(AXES),
            attributes=attributes,
        )


def open_array(path: Path, *, writable: bool = False) -> zarr.Array[Any]:
    """Open an array for reading, or also for writing whole shards."""
    with codec_engine(fast=not in_bucket(path)):
        return zarr.open_array(zarr_store(path), mode="r+" if writable else "r", zarr_format=3)


@contextmanager
def codec_engine(*, fast: bool = True) -> Iterator[None]:
    """Choose how arrays that are opened in this context code their chunks.

    With the optional ``zarrs`` (extra ``fast``) arrays are written about three and read two
    times as fast, with equal results; on one thread, since there is a process per core already.
    An array keeps its engine, so nothing changes for others in this process. What others wrote,
    such as arrays in Fortran order, needs zarr-python's own engine (``fast=False``).
    """
    # Zarr's settings are the whole process's: of two threads that set and put back in turns, the
    # second would put back what the first had set.
    with _CHOOSING, zarr.config.set(_FAST if fast and has_fast_engine() else _PLAIN):
        yield


@cache
def has_fast_engine() -> bool:
    """Tell whether ``zarrs`` is installed."""
    return importlib.util.find_spec("zarrs") is not None


def _shard_edge(size: int, chunk: int, shard_px: int) -> int:
    return min(shard_px // chunk * chunk, -(-size // chunk) * chunk)


def check_whole_shards(window: Window, shape: tuple[int, int], shard_px: int) -> None:
    """Refuse a window that covers only part of a shard: two such writers would lose data.

    Raises
    ------
    ValueError
        Naming the window and the shard's edge.
    """
    begins = window.y0 % shard_px == 0 and window.x0 % shard_px == 0
    inside = 0 <= window.y0 < window.y1 <= shape[0] and 0 <= window.x0 < window.x1 <= shape[1]
    ends = (window.y1 % shard_px == 0 or window.y1 == shape[0]) and (
        window.x1 % shard_px == 0 or window.x1 == shape[1]
    )
    if not (begins and inside and ends):
        raise ValueError(
            f"a write must cover whole shards of {shard_px} px of the image {shape}, "
            f"got {tuple(window)}"
        )
