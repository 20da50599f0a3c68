"""Known truth that comes with an image: its instance image, and a row per instance.

Simulated mosaics bring ``labels/truth`` and a table beside them; for real images somebody's
instance maps (one file per image, of the same stem) take that place, without classes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archive import MOSAIC_SUFFIX
from pipelines.errors import MosaicError
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.ome_zarr import MosaicInfo, create_instances
from pipelines.mosaic.orientation import show, shown_shape, stored_window
from pipelines.mosaic.picture_reader import open_png
from pipelines.mosaic.raw_image import RawImage
from pipelines.mosaic.tiff_reader import open_tiff
from pipelines.mosaic.tiling import plan_tiles
from pipelines.mosaic.zarr_reader import label_path, open_label
from pipelines.records import Window

TRUTH = "truth"
_CORE_PX = 2048


@dataclass
class InstanceSums:
    """Area and centroid of every instance, gathered block by block."""

    area_px: dict[int, int] = field(default_factory=dict)
    sum_y_px: dict[int, float] = field(default_factory=dict)
    sum_x_px: dict[int, float] = field(default_factory=dict)

    def add(self, block: NDArray[np.uint32], y0: int, x0: int) -> None:
        """Take a block that begins at (``y0``, ``x0``)."""
        ys, xs = np.nonzero(block)
        ids, inverse = np.unique(block[ys, xs], return_inverse=True)
        areas = np.bincount(inverse, minlength=len(ids))
        sums_y = np.bincount(inverse, weights=ys, minlength=len(ids)) + areas * y0
        sums_x = np.bincount(inverse, weights=xs, minlength=len(ids)) + areas * x0
        for i, instance in enumerate(ids.tolist()):
            self.area_px[instance] = self.area_px.get(instance, 0) + int(areas[i])
            self.sum_y_px[instance] = self.sum_y_px.get(instance, 0.0) + float(sums_y[i])
            self.sum_x_px[instance] = self.sum_x_px.get(instance, 0.0) + float(sums_x[i])

    def rows(self, mosaic: str) -> list[dict[str, Any]]:
        """Return rows of the truth table; nobody said what class the instances are of."""
        return [
            {
                "mosaic": mosaic,
                "truth_instance": instance,
                "determinable": False,
                "centroid_y_px": self.sum_y_px[instance] / area,
                "centroid_x_px": self.sum_x_px[instance] / area,
                "area_px": area,
            }
            for instance, area in sorted(self.area_px.items())
        ]


def write_truth(job: Conversion, info: MosaicInfo) -> None:
    """Write the truth of a source into its mosaic and its rows beside, if there is any.

    Raises
    ------
    MosaicError
        If a truth map or table does not fit its image.
    """
    source = Path(job.source)
    table = source.with_name(source.name.removesuffix(MOSAIC_SUFFIX) + ".truth.parquet")
    if job.truth is not None:
        sums = _copy_map(job, Path(job.truth), info)
        table = Path()
    elif job.kind == "zarr" and (label := label_path(source, TRUTH)) is not None:
        plane = open_label(label)
        image = RawImage(plane.shape, plane.dtype, plane.read, "OME-Zarr")
        sums = _copy_instances(job, image, "its labels/truth", info)
    else:
        return
    if table.is_file():
        rows = _read_table(table, job.name)
    else:
        from pipelines.tables import to_table

        rows = to_table("truth", sums.rows(job.name))
    import pyarrow.parquet

    pyarrow.parquet.write_table(rows, job.truth_table)


def _copy_map(job: Conversion, path: Path, info: MosaicInfo) -> InstanceSums:
    with path.open("rb") as file:
        is_png = file.read(4) == b"\x89PNG"
    try:
        with (open_png if is_png else open_tiff)(path) as image:
            return _copy_instances(job, image, f"truth map {path.name}", info)
    except MosaicError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # Readers raise anything on damaged files.
        raise MosaicError(f"truth map {path.name} is damaged: {error}") from error


def _copy_instances(job: Conversion, image: RawImage, what: str, info: MosaicInfo) -> InstanceSums:
    shape = shown_shape(image.shape, image.orientation)
    if shape != info.shape:
        raise MosaicError(f"{what} is {shape} pixels, the image {info.shape}")
    refuse_colours(image, what)
    writer = create_instances(
        job.mosaic_path,
        TRUTH,
        shape=info.shape,
        pixel_size_nm=info.pixel_size_nm,
        shard_px=_CORE_PX,
        attributes={"from": what},
    )
    sums = InstanceSums()
    for tile in plan_tiles(info.shape, core_px=_CORE_PX, halo_px=0):
        stored = image.read(stored_window(tile.core, image.shape, image.orientation))
        block = as_ids(show(stored, image.orientation), what)
        sums.add(block, tile.core.y0, tile.core.x0)
        writer.write_core(tile.core, block)
    refuse_mask(list(sums.area_px), image, what)
    writer.finish()
    return sums


def refuse_colours(image: RawImage, what: str) -> None:
    """Refuse an image whose samples cannot be instance ids."""
    if image.colour != "grey" or image.details.get("palette"):
        raise MosaicError(f"{what} is in colour; instance ids must be plain numbers")
    if image.dtype.kind not in "iu" or image.inverted:
        raise MosaicError(f"{what} must hold integer ids, got {image.dtype}")


def as_ids(block: NDArray[Any], what: str) -> NDArray[np.uint32]:
    """Return samples as instance ids, or refuse those that are none."""
    if block.size and (int(block.min()) < 0 or int(block.max()) >= 2**32):
        raise MosaicError(f"{what} must hold ids from 0 to 2**32 - 1")
    return np.ascontiguousarray(block, dtype=np.uint32)


def refuse_mask(ids: list[int], image: RawImage, what: str) -> None:
    """Refuse a foreground mask: it would count as one huge instance."""
    if ids not in ([1], [255], [65535]) or max(image.shape) > 16384:
        return
    import cv2

    mask = (image.read(Window(0, 0, *image.shape)) > 0).astype(np.uint8)
    n_pieces = cv2.connectedComponents(mask, connectivity=8)[0] - 1
    if n_pieces > 1:
        raise MosaicError(
            f"{what} is a mask (one value in {n_pieces} pieces), not a map of instance ids"
        )


def _read_table(path: Path, mosaic: str) -> Any:
    import pyarrow
    import pyarrow.parquet

    from pipelines.schemas import TRUTH as SCHEMA

    try:
        table = pyarrow.parquet.read_table(path)
        names = pyarrow.array([mosaic] * table.num_rows, pyarrow.string())
        columns = {name: table.column(name) for name in SCHEMA.names if name != "mosaic"}
        return pyarrow.table({"mosaic": names, **columns}).select(SCHEMA.names).cast(SCHEMA)
    except (KeyError, pyarrow.ArrowException, OSError) as error:
        raise MosaicError(f"truth table {path.name} is damaged: {error}") from error
