"""The work of one actor: tiles, one after the other, each kept where others find it."""

import ctypes
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import cv2

from pipelines.mosaic.ome_zarr import InstanceWriter, Mosaic, open_mosaic
from pipelines.records import Tile, Window
from pipelines.segmentation.completion import begin_instances, solve, write_tile
from pipelines.segmentation.method import Method, Surveyor, load_method, traits_of
from pipelines.segmentation.painting import INSTANCES
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.scratch import Scratch, is_storage_full
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey, survey_mosaic
from pipelines.segmentation.tiles import segment_tile

MAX_ATTEMPTS = 3
#: Mosaics that an actor keeps open, with their surveys.
MAX_OPEN = 8
#: How long an actor waits for the particles of a mosaic before it gives a tile back.
PATIENCE_S = 5.0
POLL_S = 0.005
DONE, FAILED, FULL, EARLY = "done", "failed", "full", "early"


@dataclass(frozen=True)
class TileTask:
    """One tile to be segmented.

    Attributes
    ----------
    mosaic_path, scratch : str
        The mosaic, and the folder of its work in progress.
    segmentation : str
        Digest of all that decides the mosaic's instances.
    y0, x0, y1, x1 : int
        The core.
    alone : bool
        Whether it is the mosaic's only tile, which is then finished at once.
    """

    mosaic_path: str
    scratch: str
    segmentation: str
    y0: int
    x0: int
    y1: int
    x1: int
    alone: bool

    @property
    def core(self) -> Window:
        """The core."""
        return Window(self.y0, self.x0, self.y1, self.x1)

    @property
    def unit(self) -> str:
        """The tile's name within its mosaic."""
        return f"y{self.y0}-{self.y1}_x{self.x0}-{self.x1}"

    def to_row(self) -> dict[str, Any]:
        """Return the task as a row of a Ray dataset."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make the task of a row."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class TileResult:
    """What became of a tile; ``solution`` is there if it was the mosaic's only one."""

    status: str
    digest: str = ""
    attempts: int = 1
    seconds: float = 0.0
    reason: str = ""
    solution: bytes = b""


@dataclass
class TileWorker:
    """Segments tiles of any mosaics with the same settings."""

    settings: SegmentationSettings
    method: Method
    core_px: int
    halo_px: int
    _open: dict[str, tuple[Mosaic, Survey]] = field(default_factory=dict)
    _writers: dict[str, InstanceWriter] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)

    def take_tile(self, task: TileTask, *, paint: bool) -> TileResult:
        """Segment or paint a tile; a full disk ends as a result, wherever it shows."""
        try:
            return self.paint_tile(task) if paint else self.try_tile(task)
        except Exception as error:
            if is_storage_full(error):
                return TileResult(FULL, reason=str(error))
            raise

    def try_tile(self, task: TileTask) -> TileResult:
        """Segment a tile and keep its parts; an error that lasts ends as a result."""
        started = time.monotonic()
        scratch = Scratch(Path(task.scratch))
        reason = f"its process died {MAX_ATTEMPTS} times"
        while (attempts := scratch.begin_attempt(task.unit)) < MAX_ATTEMPTS:
            try:
                digest, solution = self._work(task, scratch)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                if is_storage_full(error):
                    return TileResult(FULL, reason=reason)
            else:
                scratch.end_attempts(task.unit)
                seconds = time.monotonic() - started
                return TileResult(DONE, digest, attempts + 1, seconds, solution=solution)
        seconds = time.monotonic() - started
        return TileResult(FAILED, attempts=attempts, seconds=seconds, reason=reason)

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
            self._writers = {mosaic_path: InstanceWriter(Path(mosaic_path), INSTANCES)}
        return self._writers[mosaic_path]

    def _work(self, task: TileTask, scratch: Scratch) -> tuple[str, bytes]:
        mosaic, survey = self._look(task, scratch)
        shape = mosaic.info.shape
        halo_px = self.halo_px
        if isinstance(self.method, Surveyor):
            # The halo is for any mosaic; this one may need much less.
            halo_px = min(halo_px, self.method.reach_px(survey, self.settings))
        tile = Tile(0, task.core, task.core.grown(halo_px, shape))
        image = survey.grey.working(mosaic.read(tile.window))
        heights = self.method.heights(image, tile.window, survey, self.settings)
        parts = segment_tile(heights, image, tile, shape, self.settings.split_rule)
        if not task.alone:
            return scratch.write_parts(task.unit, parts), b""
        solution = solve(mosaic.info, task.segmentation, [parts], [], survey, self.settings)
        writer = begin_instances(mosaic, solution, self.settings, self.core_px)
        write_tile(writer, parts, solution.ids[0])
        writer.finish()
        return solution.digest, solution.to_bytes()

    def _look(self, task: TileTask, scratch: Scratch) -> tuple[Mosaic, Survey]:
        """Open a mosaic and survey it, unless somebody did already."""
        if task.mosaic_path not in self._open:
            mosaic = open_mosaic(Path(task.mosaic_path))
            survey = scratch.read_survey()
            if survey is None:
                survey = survey_mosaic(
                    mosaic, self.method.lifts, self.settings, traits_of(self.method)
                )
                if not task.alone:
                    scratch.write_survey(survey)
            while len(self._open) >= MAX_OPEN:
                del self._open[next(iter(self._open))]
            self._open[task.mosaic_path] = mosaic, survey
        return self._open[task.mosaic_path]


class TileSegmenter:
    """Segments and paints batches of tiles; for a pool of actors, with what they have opened."""

    def __init__(self, settings: dict[str, Any], core_px: int, halo_px: int) -> None:
        # One process per core: threads of the libraries would only get in each other's way.
        cv2.setNumThreads(1)
        keep_freed_memory()
        wanted = SegmentationSettings(**settings)
        self._worker = TileWorker(wanted, load_method(wanted.method), core_px, halo_px)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work on the tiles of a batch; every tile gets a row, whatever became of it."""
        columns = {name: values.tolist() for name, values in batch.items()}
        results = []
        for i, paint in enumerate(columns["paint"]):
            task = TileTask.from_row({name: values[i] for name, values in columns.items()})
            results.append(self._worker.take_tile(task, paint=paint))
        found = {
            name: [getattr(result, name) for result in results]
            for name in TileResult.__dataclass_fields__
        }
        return {"job": columns["job"], **found}


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
