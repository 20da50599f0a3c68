"""Mosaics on disk: the names that other stages use.

A mosaic is an OME-Zarr 0.5 image with axes (y, x) of uint8, uint16 or float32, with a pyramid
of area means, the pixel size in nanometres, and under ``attributes["tessera"]`` the digest and
statistics of its pixels. Instance images lie inside it under ``labels/``.
"""

from pipelines.mosaic.image_writer import DTYPES, MosaicWriter, create_mosaic, write_mosaic
from pipelines.mosaic.images import Mosaic, MosaicInfo, open_mosaic
from pipelines.mosaic.instance_images import (
    InstanceImage,
    InstanceWriter,
    create_instances,
    has_instances,
    open_instances,
)

__all__ = [
    "DTYPES",
    "InstanceImage",
    "InstanceWriter",
    "Mosaic",
    "MosaicInfo",
    "MosaicWriter",
    "create_instances",
    "create_mosaic",
    "has_instances",
    "open_instances",
    "open_mosaic",
    "write_mosaic",
]
