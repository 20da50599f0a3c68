"""Pyramid levels, content digest and statistics of an image, one region at a time.

Memory is bounded by the region and the number of threads, never by the image.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import zarr
from numpy.typing import NDArray

from pipelines.digests import digest_array, digest_json
from pipelines.mosaic.tiling import blocks
from pipelines.records import Window

#: Edge of the squares that the pixel digest is made of; fixed, so that storage does not matter.
DIGEST_BLOCK_PX = 2048
_PERCENTS = (0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)


def halve_mean(image: NDArray[Any]) -> NDArray[Any]:
    """Average 2 x 2 pixels into one; at an odd edge the pixels that are there.

    Parameters
    ----------
    image : (H, W) array of uint8, uint16 or float32
        Integers are rounded to nearest, halves up.

    Returns
    -------
    half : (ceil(H / 2), ceil(W / 2)) array of the same dtype
    """
    height, width = image.shape
    odd_y, odd_x = height % 2, width % 2
    if odd_y or odd_x:
        # Doubling the last row or column makes the mean of four the mean of those present.
        image = np.pad(image, ((0, odd_y), (0, odd_x)), mode="edge")
    size = ((width + odd_x) // 2, (height + odd_y) // 2)
    half: NDArray[Any] = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return half.reshape(size[1], size[0])


def halve_nearest(instances: NDArray[Any]) -> NDArray[Any]:
    """Keep every second pixel, beginning with the first: ids are never mixed."""
    return instances[::2, ::2]


@dataclass
class PixelSummary:
    """What one pass over the pixels of level 0 tells: digest and statistics, in any order."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    digests: dict[tuple[int, int], str] = field(default_factory=dict)
    histogram: NDArray[np.int64] | None = None
    totals: dict[tuple[int, int], float] = field(default_factory=dict)
    minimum: float = np.inf
    maximum: float = -np.inf

    def merge(self, block: "BlockSummary") -> None:
        """Take one block of `DIGEST_BLOCK_PX`."""
        self.digests[block.origin] = block.digest
        self.totals[block.origin] = block.total
        # min() and max() of Python would lose a NaN.
        self.minimum = float(np.minimum(self.minimum, block.minimum))
        self.maximum = float(np.maximum(self.maximum, block.maximum))
        if block.histogram is not None:
            seen = self.histogram
            self.histogram = block.histogram if seen is None else seen + block.histogram

    def digest(self) -> str:
        """Digest shape, dtype and the digests of the blocks in row-major order."""
        leaves = [self.digests[origin] for origin in sorted(self.digests)]
        return digest_json([list(self.shape), self.dtype.str, DIGEST_BLOCK_PX, leaves])

    def statistics(self, sample: NDArray[Any]) -> dict[str, Any]:
        """Return minimum, maximum, mean and percentiles of the whole image.

        Percentiles of integers are exact; those of floats come from ``sample``, a level of the
        pyramid, as ``percentiles_from`` says.
        """
        n_pixels = self.shape[0] * self.shape[1]
        if self.histogram is not None:
            ranks = np.ceil(np.array(_PERCENTS) / 100 * n_pixels)
            values = np.searchsorted(np.cumsum(self.histogram), np.maximum(ranks, 1))
            source = "all pixels"
        else:
            values = np.percentile(sample, _PERCENTS)
            source = f"a level of {sample.shape[0]} x {sample.shape[1]} pixels"
        return {
            "min": self.minimum,
            "max": self.maximum,
            # In fixed order: sums of floats depend on it.
            "mean": sum(self.totals[origin] for origin in sorted(self.totals)) / n_pixels,
            "percentiles": {
                f"{percent:g}": float(value)
                for percent, value in zip(_PERCENTS, values, strict=True)
            },
            "percentiles_from": source,
        }


@dataclass(frozen=True)
class BlockSummary:
    """Digest and statistics of one block."""

    origin: tuple[int, int]
    digest: str
    minimum: float
    maximum: float
    total: float
    histogram: NDArray[np.int64] | None


def summarise_block(origin: tuple[int, int], block: NDArray[Any]) -> BlockSummary:
    """Digest a block and gather its statistics."""
    histogram = None
    if block.dtype.kind == "u":
        n_bins = 2 ** (8 * block.dtype.itemsize)
        counts = cv2.calcHist([np.ascontiguousarray(block)], [0], None, [n_bins], [0, n_bins])
        # Counts come as float32: exact, for a block has fewer than 2**24 pixels.
        histogram = counts.reshape(-1).astype(np.int64)
        present = np.flatnonzero(histogram)
        low, high = float(present[0]), float(present[-1])
        total = float(np.dot(histogram, np.arange(n_bins)))
    else:
        low, high = float(block.min()), float(block.max())
        total = float(block.sum(dtype=np.float64))
    return BlockSummary(origin, digest_array(block), low, high, total, histogram)


def build_first_level(
    source: zarr.Array[Any], target: zarr.Array[Any] | None, *, region_px: int
) -> PixelSummary:
    """Read level 0 once: write the level of area means above it, and summarise the pixels.

    ``region_px`` must be a multiple of `DIGEST_BLOCK_PX` and of two shards of ``target``.
    """
    height, width = source.shape
    summary = PixelSummary((height, width), source.dtype)

    lock = threading.Lock()

    def work(region: Window) -> None:
        half = np.empty(((region.shape[0] + 1) // 2, (region.shape[1] + 1) // 2), source.dtype)
        for inner in blocks(region.shape, DIGEST_BLOCK_PX):
            y0, x0 = region.y0 + inner.y0, region.x0 + inner.x0
            block = read_block(source, Window(y0, x0, region.y0 + inner.y1, region.x0 + inner.x1))
            block_summary = summarise_block((y0, x0), block)
            with lock:
                summary.merge(block_summary)
            if target is not None:
                _place_half(half, inner, halve_mean(block))
        if target is not None:
            y0, x0 = region.y0 // 2, region.x0 // 2
            target[y0 : y0 + half.shape[0], x0 : x0 + half.shape[1]] = half

    map_regions(work, blocks((height, width), region_px))
    return summary


def build_level(
    source: zarr.Array[Any],
    target: zarr.Array[Any],
    halve: Callable[[NDArray[Any]], NDArray[Any]],
    *,
    region_px: int,
) -> None:
    """Write a level from the one below it, in regions of ``region_px`` pixels of the source.

    ``region_px`` must be a multiple of two shards of ``target``.
    """

    def work(region: Window) -> None:
        half = np.empty(((region.shape[0] + 1) // 2, (region.shape[1] + 1) // 2), source.dtype)
        for inner in blocks(region.shape, DIGEST_BLOCK_PX):
            window = Window(
                region.y0 + inner.y0,
                region.x0 + inner.x0,
                region.y0 + inner.y1,
                region.x0 + inner.x1,
            )
            _place_half(half, inner, halve(read_block(source, window)))
        y0, x0 = region.y0 // 2, region.x0 // 2
        target[y0 : y0 + half.shape[0], x0 : x0 + half.shape[1]] = half

    map_regions(work, blocks((source.shape[0], source.shape[1]), region_px))


def read_block(source: zarr.Array[Any], window: Window) -> NDArray[Any]:
    """Read a rectangle of a Zarr array as numpy.

    Raises
    ------
    ValueError
        If the window is not inside the array; numpy would read something else or less.
    """
    y0, x0, y1, x1 = window
    if not (0 <= y0 <= y1 <= source.shape[0] and 0 <= x0 <= x1 <= source.shape[1]):
        raise ValueError(f"window {tuple(window)} is not inside an image of {source.shape}")
    return np.asarray(source[window.slices])


def map_regions(work: Callable[[Window], None], regions: Sequence[Window]) -> None:
    """Work through regions on Dask's threads, or at once where there is only one.

    Two threads: decoding, hashing and averaging release the interpreter's lock, and more would
    hold more regions in memory.
    """
    if len(regions) == 1:
        work(regions[0])
        return
    import dask

    tasks = [dask.delayed(work, pure=False)(region) for region in regions]
    dask.compute(*tasks, scheduler="threads", num_workers=2)


def _place_half(half: NDArray[Any], inner: Window, block: NDArray[Any]) -> None:
    y0, x0 = inner.y0 // 2, inner.x0 // 2
    half[y0 : y0 + block.shape[0], x0 : x0 + block.shape[1]] = block
