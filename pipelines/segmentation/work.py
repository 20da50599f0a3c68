"""The work of one actor: tiles, one after the other, each kept where others find it."""

import ctypes
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2

from pipelines.mosaic.ome_zarr import InstanceWriter
from pipelines.places import place
from pipelines.records import Tile
from pipelines.segmentation.completion import begin_instances, solve, write_tile
from pipelines.segmentation.method import LateMethod, Method, load_method
from pipelines.segmentation.opened import OpenMosaics
from pipelines.segmentation.painting import INSTANCES
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.scratch import Scratch, is_storage_full
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.tile_task import (
    DONE,
    EARLY,
    FAILED,
    FULL,
    MAX_ATTEMPTS,
    FoundHeights,
    TileResult,
    TileTask,
)
from pipelines.segmentation.tiles import segment_tile

#: How long an actor waits for the particles of a mosaic before it gives a tile back.
PATIENCE_S = 5.0
POLL_S = 0.005


@dataclass
class TileWorker:
    """Segments tiles of any mosaics with the same settings."""

    settings: SegmentationSettings
    method: Method
    core_px: int
    halo_px: int
    _opened: OpenMosaics = field(init=False)
    _writers: dict[str, InstanceWriter] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._opened = OpenMosaics(self.method, self.settings)

    def take_tile(
        self, task: TileTask, *, paint: bool, found: FoundHeights | None = None
    ) -> TileResult:
        """Segment or paint a tile; a full disk ends as a result, wherever it shows.

        Where another actor found the heights already, they are taken instead of the method's.
        """
        if found is not None and found.status != DONE:
            return TileResult(
                found.status, attempts=found.attempts, seconds=found.seconds, reason=found.reason
            )
        try:
            return self.paint_tile(task) if paint else self.try_tile(task, found)
        except Exception as error:
            if is_storage_full(error):
                return TileResult(FULL, reason=str(error))
            raise

    def try_tile(self, task: TileTask, found: FoundHeights | None = None) -> TileResult:
        """Segment a tile and keep its parts; an error that lasts ends as a result."""
        started = time.monotonic()
        scratch = Scratch(Path(task.scratch))
        reason = f"its process died {MAX_ATTEMPTS} times"
        while (attempts := scratch.begin_attempt(task.unit)) < MAX_ATTEMPTS:
            try:
                digest, solution, n_bytes = self._work(task, scratch, found)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                if is_storage_full(error):
                    return TileResult(FULL, reason=reason)
            else:
                scratch.end_attempts(task.unit)
                seconds = time.monotonic() - started + (found.seconds if found else 0.0)
                return TileResult(
                    DONE, digest, attempts + 1, seconds, solution=solution, n_bytes=n_bytes
                )
        seconds = time.monotonic() - started
        # Ray may hand out a tile once more after it was given up: that is no attempt.
        return TileResult(FAILED, attempts=MAX_ATTEMPTS, seconds=seconds, reason=reason)

    def paint_tile(self, task: TileTask) -> TileResult:
        """Paint a tile with its ids: the second pass, once the mosaic's particles are known."""
        started = time.monotonic()
        scratch = Scratch(Path(task.scratch))
        while (ids := scratch.read_ids(task.unit)) is None:
            # Perhaps what the others wait for is queued behind this very wait.
            if time.monotonic() - started > PATIENCE_S or task.scratch in self._given_up:
                self._given_up.add(task.scratch)
                return TileResult(EARLY)
            time.sleep(POLL_S)
        if ids.any():
            parts = TileParts.open(scratch.parts_path(task.unit))
            write_tile(self._writer(task.mosaic_path), parts, ids)
        return TileResult(DONE, seconds=time.monotonic() - started)

    def _writer(self, mosaic_path: str) -> InstanceWriter:
        if mosaic_path not in self._writers:
            self._writers = {mosaic_path: InstanceWriter(place(mosaic_path), INSTANCES)}
        return self._writers[mosaic_path]

    def _work(
        self, task: TileTask, scratch: Scratch, found: FoundHeights | None
    ) -> tuple[str, bytes, int]:
        mosaic, survey = self._opened.look(task.mosaic_path, scratch, keep=not task.alone)
        shape = mosaic.info.shape
        if found is None:
            window = self._opened.window(task.core, mosaic, survey, self.halo_px)
        else:
            window = task.core.grown(1, shape)
        tile = Tile(0, task.core, window)
        image = survey.grey.working(mosaic.read(tile.window))
        if found is None:
            heights = self.method.heights(image, tile.window, survey, self.settings)
        else:
            heights = found.array(tile.window)
        parts = segment_tile(heights, image, tile, shape, self.settings.split_rule)
        height, width = task.core.shape
        n_bytes = height * width * mosaic.info.dtype.itemsize
        if not task.alone:
            return scratch.write_parts(task.unit, parts), b"", n_bytes
        solution = solve(mosaic.info, task.segmentation, [parts], [], survey, self.settings)
        writer = begin_instances(mosaic, solution, self.settings, self.core_px)
        write_tile(writer, parts, solution.ids[0])
        writer.finish()
        return solution.digest, solution.to_bytes(), n_bytes


class TileSegmenter:
    """Segments and paints batches of tiles; for a pool of actors, with what they have opened."""

    def __init__(
        self, settings: dict[str, Any], core_px: int, halo_px: int, given_heights: bool = False
    ) -> None:
        # One process per core: threads of the libraries would only get in each other's way.
        cv2.setNumThreads(1)
        keep_freed_memory()
        wanted = SegmentationSettings(**settings)
        method = LateMethod(wanted.method) if given_heights else load_method(wanted.method)
        self._worker = TileWorker(wanted, cast(Method, method), core_px, halo_px)
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work on the tiles of a batch; every tile gets a row, whatever became of it."""
        columns = {name: values.tolist() for name, values in batch.items()}
        results = []
        for i, paint in enumerate(columns["paint"]):
            task = TileTask.from_row({name: values[i] for name, values in columns.items()})
            heights = _heights(columns, i) if "found_status" in columns and not paint else None
            results.append(self._worker.take_tile(task, paint=paint, found=heights))
        found = {
            name: [getattr(result, name) for result in results]
            for name in TileResult.__dataclass_fields__
        }
        return {"job": columns["job"], **found, "worker": [self._name] * len(results)}


def _heights(columns: dict[str, list[Any]], row: int) -> FoundHeights:
    """Return what another actor says of a tile; see `heights_finder.HeightsFinder`."""
    names = FoundHeights.__dataclass_fields__
    return FoundHeights(**{name: columns[f"found_{name}"][row] for name in names})


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next tile needs as much again.

    Otherwise every large array is given back and every page of the next one is a fault: a
    sixth of the time of a tile. Elsewhere than on glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)
