"""One source file becomes one mosaic in a folder of its own: read, turn grey, turn upright, write.

The image passes through in regions, so memory depends on the region, not on the image.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipelines.errors import MosaicError
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.grey import Convert, plan_grey
from pipelines.mosaic.ome_zarr import MosaicInfo, MosaicWriter, create_mosaic
from pipelines.mosaic.orientation import show, shown_shape, stored_window, swaps_axes
from pipelines.mosaic.picture_reader import open_jpeg, open_png
from pipelines.mosaic.raw_image import RawImage
from pipelines.mosaic.tiff_reader import open_tiff
from pipelines.mosaic.tiling import blocks
from pipelines.mosaic.truth import write_truth
from pipelines.mosaic.zarr_reader import open_zarr_image
from pipelines.records import Window

#: Stored bytes that one region may have, if a shard is not larger.
REGION_BYTES = 32 << 20
SHARD_PX = 2048

_READERS: dict[str, Callable[[Path], AbstractContextManager[RawImage]]] = {
    "tiff": open_tiff,
    "png": open_png,
    "jpeg": open_jpeg,
    "zarr": open_zarr_image,
}


def open_image(kind: str, path: Path) -> AbstractContextManager[RawImage]:
    """Open a file of the kind that `sources.Source` says it is."""
    return _READERS[kind](path)


def convert(
    job: Conversion, *, opened: Callable[[int, int], None] = lambda n_pixels, piece_bytes: None
) -> MosaicInfo:
    """Make the mosaic of a source, with its truth if there is any.

    Parameters
    ----------
    job : Conversion
        What to do.
    opened : callable, optional
        Told the number of pixels and the bytes that must be decoded at once, as soon as the
        file's header has been understood.

    Raises
    ------
    MosaicError
        If the file cannot be read faithfully, or its pixel size is unknown. Damaged files make
        readers raise nearly anything else.
    """
    # A child that died over this file may have left its work.
    shutil.rmtree(job.mosaic_path, ignore_errors=True)
    with open_image(job.kind, Path(job.source)) as image:
        opened(image.shape[0] * image.shape[1], image.piece_bytes)
        pixel_size_nm, origin = choose_pixel_size(image, job)
        info = write_image(
            image,
            job.mosaic_path,
            pixel_size_nm=pixel_size_nm,
            acquisition={**describe(image, job), "pixel_size_from": origin},
        )
    write_truth(job, info)
    return info


class UnknownPixelSizeError(MosaicError):
    """The file does not say how large its pixels are; a setting can."""


def choose_pixel_size(image: RawImage, job: Conversion) -> tuple[float | None, str]:
    """Return the edge of a pixel in nanometres, and where it is from.

    Raises
    ------
    UnknownPixelSizeError
        If neither the flag nor the file gives one and unknown ones are not allowed.
    """
    if job.pixel_size_nm is not None:
        return job.pixel_size_nm, "--pixel-size-nm"
    if image.pixel_size is not None:
        return image.pixel_size.edge_nm(), image.pixel_size.source
    if job.allow_unknown_pixel_size:
        return None, "unknown"
    raise UnknownPixelSizeError(
        f"the {image.format} file states no pixel size that a microscope could have; "
        "give --pixel-size-nm, or --allow-unknown-pixel-size"
    )


def describe(image: RawImage, job: Conversion) -> dict[str, Any]:
    """Say what the file was, for the mosaic's acquisition metadata."""
    stated = image.pixel_size
    known: Mapping[str, Any] = {
        "source": {"file": Path(job.source).name, "key": job.key},
        "format": image.format,
        "stored_dtype": image.dtype.name,
        "colour": "luma of red, green, blue" if image.colour != "grey" else None,
        "orientation": image.orientation if image.orientation != 1 else None,
        "stated_pixel_size_nm": stated.width_nm if stated else None,
        "notes": list(image.notes) or None,
    }
    return {**image.details, **{key: value for key, value in known.items() if value is not None}}


def write_image(
    image: RawImage,
    path: Path,
    *,
    pixel_size_nm: float | None,
    acquisition: Mapping[str, Any],
) -> MosaicInfo:
    """Write an image as a mosaic, upright and grey, region by region."""
    dtype, to_grey = plan_grey(image)
    writer = create_mosaic(
        path,
        shape=shown_shape(image.shape, image.orientation),
        dtype=dtype,
        pixel_size_nm=pixel_size_nm,
        acquisition=acquisition,
        chunk_px=min(512, SHARD_PX),
        shard_px=SHARD_PX,
    )
    try:
        for region in plan_regions(image):
            # In a function of its own, so that one region is gone before the next is read.
            _write_region(image, to_grey, region, writer)
        return writer.finish()
    except BaseException:
        writer.discard()
        raise


def _write_region(image: RawImage, to_grey: Convert, region: Window, writer: MosaicWriter) -> None:
    stored = image.read(stored_window(region, image.shape, image.orientation))
    shown = show(to_grey(stored), image.orientation)
    # Shard by shard: what is being encoded takes memory once more.
    for shard in blocks(region.shape, SHARD_PX):
        writer.write(region.y0 + shard.y0, region.x0 + shard.x0, shown[shard.slices])


def plan_regions(image: RawImage) -> Iterator[Window]:
    """Cut the shown image into whole shards, as wide as memory allows.

    Wide along the stored rows, and at least as large as a piece: a strip that several regions
    share is decoded for each of them.
    """
    rows, columns = (_whole_shards(edge) for edge in image.piece)
    wide = _whole_shards(image.shape[1])
    fits = REGION_BYTES // image.bytes_per_pixel
    if rows * columns > fits:
        rows = columns = SHARD_PX
    columns = max(columns, min(wide, fits // rows // SHARD_PX * SHARD_PX))
    height, width = shown_shape(image.shape, image.orientation)
    if swaps_axes(image.orientation):
        rows, columns = columns, rows
    for y0 in range(0, height, rows):
        for x0 in range(0, width, columns):
            yield Window(y0, x0, min(y0 + rows, height), min(x0 + columns, width))


def _whole_shards(edge: int) -> int:
    return math.ceil(edge / SHARD_PX) * SHARD_PX
