"""Mosaics of a gigapixel without pixels, and an actor for whose tiles there is nothing to do.

All else is real: plan, ledger, particles table, stream, seams, and the files between the passes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.archive import Archive, create_archive
from pipelines.mosaic.ngff import write_group
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.scratch import Scratch
from pipelines.segmentation.survey import Survey
from pipelines.segmentation.tile_task import DONE, TileResult, TileTask

GIGAPIXEL_PX = 32768
CORE_PX = 2048
N_LEVELS = 8


def make_archive(path: Path, n_tiles: int, mosaic_px: int = GIGAPIXEL_PX) -> Archive:
    """Make an archive of so many mosaics that they have at least ``n_tiles`` tiles."""
    archive = create_archive(path)
    for number in range(-(-n_tiles // (mosaic_px // CORE_PX) ** 2)):
        levels = [{"path": str(level)} for level in range(N_LEVELS)]
        ours = {
            "shape": [mosaic_px, mosaic_px],
            "dtype": "uint8",
            "pixel_size_nm": 1.0,
            "digest": f"{number:032x}",
            "acquisition": {},
            "statistics": {},
        }
        description = {"ome": {"multiscales": [{"datasets": levels}]}, "tessera": ours}
        write_group(archive.mosaic(f"simulated-{number:05d}"), description)
    return archive


class SimulatedSegmenter:
    """Says of every tile that it is done, and leaves the parts of a tile without particles."""

    def __init__(self, **given: object) -> None:
        self._blank = Survey.blank((GIGAPIXEL_PX, GIGAPIXEL_PX))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        columns = {name: values.tolist() for name, values in batch.items()}
        results = []
        for i, paint in enumerate(columns["paint"]):
            digest = ""
            if not paint:
                task = TileTask.from_row({name: values[i] for name, values in columns.items()})
                scratch = Scratch(Path(task.scratch))
                if task.y0 == task.x0 == 0:
                    scratch.write_survey(self._blank)
                digest = scratch.write_parts(task.unit, TileParts.empty(task.core))
            results.append(TileResult(DONE, digest, seconds=0.0, worker="simulated"))
        found = {
            name: [getattr(result, name) for result in results]
            for name in TileResult.__dataclass_fields__
        }
        return {"job": np.asarray(columns["job"]), **found}
