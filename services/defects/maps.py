"""Score maps beside the mosaics: one writer, whole shards, opened by any OME-Zarr viewer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.archive import MOSAIC_SUFFIX, Archive
from pipelines.places import remove_tree

if TYPE_CHECKING:
    from pipelines.mosaic.ome_zarr import MosaicInfo, MosaicWriter
    from pipelines.records import Window

#: Below this a score is as good as any; a map shows no deeper.
SHOWN_FROM = -2.0
#: A site's score is shown over so many pixels.
SHOWN_PX = 5


def map_path(archive: Archive, model: str, version: str, mosaic: str) -> Path:
    """Tell where the map of a mosaic by a version of a model lies."""
    return archive.root / "defects" / f"{model}-{version}" / f"{mosaic}{MOSAIC_SUFFIX}"


class MapWriter:
    """Writes the map of one mosaic, core by core; it is there once it is whole."""

    def __init__(self, path: Path, info: "MosaicInfo", *, shard_px: int, about: dict[str, Any]):
        self._path, self._info, self._shard_px, self._about = path, info, shard_px, about
        self._writer: MosaicWriter | None = None

    def add(self, core: "Window", oddness: "np.ndarray") -> None:
        """Write a core."""
        from scipy.ndimage import maximum_filter

        from pipelines.mosaic.ome_zarr import create_mosaic

        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(self._path)
            self._writer = create_mosaic(
                self._path,
                shape=self._info.shape,
                dtype=np.float32,
                pixel_size_nm=self._info.pixel_size_nm,
                acquisition=self._about,
                shard_px=self._shard_px,
            )
        shown = maximum_filter(np.maximum(oddness, SHOWN_FROM), SHOWN_PX)
        self._writer.write(core.y0, core.x0, shown.astype(np.float32))

    def finish(self) -> bool:
        """Publish the map; False where the detector draws none."""
        if self._writer is None:
            return False
        self._writer.finish()
        return True

    def discard(self) -> None:
        """Remove what was written of an unfinished map."""
        if self._writer is not None:
            self._writer.discard()
