"""Open mosaics: what is known of them at once, their pixels when asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipelines.archive import MOSAIC_SUFFIX
from pipelines.errors import MosaicError
from pipelines.mosaic.layout import open_array
from pipelines.mosaic.ngff import read_attributes
from pipelines.mosaic.pyramid import read_block
from pipelines.records import Window


@dataclass(frozen=True)
class MosaicInfo:
    """What is known of a mosaic without reading its pixels.

    ``digest`` depends on the shape, dtype and values of level 0 alone, not on how they are stored.
    """

    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixel_size_nm: float | None
    digest: str
    n_levels: int
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mosaic:
    """A mosaic opened for reading; pixels are read when asked for."""

    path: Path
    info: MosaicInfo
    _levels: dict[int, zarr.Array[Any]] = field(default_factory=dict, repr=False, compare=False)

    def level(self, k: int) -> zarr.Array[Any]:
        """Return the Zarr array of level ``k``, with axes (y, x)."""
        if not 0 <= k < self.info.n_levels:
            raise MosaicError(f"{self.path} has levels 0 to {self.info.n_levels - 1}, got {k}")
        if k not in self._levels:
            self._levels[k] = open_array(self.path / str(k))
        return self._levels[k]

    def read(self, window: Window, level: int = 0) -> NDArray[Any]:
        """Read the rectangle ``window``, in pixels of ``level``."""
        return read_block(self.level(level), window)

    def downsampling(self, k: int) -> int:
        """Return how many pixels of level 0 make one of level ``k``, along each axis."""
        return int(2**k)


def open_mosaic(path: Path) -> Mosaic:
    """Open a mosaic; cheap, one small file is read.

    Raises
    ------
    MosaicError
        If ``path`` is not there, not finished, or was not written by us.
    """
    try:
        attributes = read_attributes(path)
    except (OSError, ValueError) as error:
        raise MosaicError(f"mosaic {path} has damaged metadata: {error}") from error
    if attributes is None:
        missing = "is not a finished mosaic (no zarr.json)" if path.exists() else "does not exist"
        raise MosaicError(f"mosaic {path} {missing}")
    try:
        ours = attributes["tessera"]
        info = MosaicInfo(
            name=path.name.removesuffix(MOSAIC_SUFFIX),
            shape=(int(ours["shape"][0]), int(ours["shape"][1])),
            dtype=np.dtype(ours["dtype"]),
            pixel_size_nm=ours["pixel_size_nm"],
            digest=ours["digest"],
            n_levels=len(attributes["ome"]["multiscales"][0]["datasets"]),
            acquisition=ours["acquisition"],
            statistics=ours["statistics"],
        )
    except (KeyError, TypeError, IndexError) as error:
        raise MosaicError(
            f"mosaic {path} was not written by tessera (its metadata lack {error}); ingest it"
        ) from None
    return Mosaic(path, info)
