"""The first of two kinds of actors: pixels become heights, which others make particles of.

A network fills an accelerator best with windows of many tiles, also of several mosaics; the rest
of the work needs processors. With two pools both go on at once. What passes between them are the
heights of a core and one pixel around it, quantised as every method gives them, so the result is
the same, bit for bit, as if one actor did all.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.look import BatchMethod, Look
from pipelines.segmentation.method import Method, load_method
from pipelines.segmentation.opened import OpenMosaics
from pipelines.segmentation.scratch import Scratch, is_storage_full
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.tile_task import (
    FAILED,
    FULL,
    MAX_ATTEMPTS,
    FoundHeights,
    TileTask,
)

#: Pixels that are read before the method is asked about all of them together.
PIXELS_AT_ONCE = 32 << 20


@dataclass
class HeightsFinder:
    """Finds the heights of tiles of any mosaics, of several together where the method can."""

    settings: SegmentationSettings
    method: Method
    halo_px: int
    _opened: OpenMosaics = field(init=False)

    def __post_init__(self) -> None:
        self._opened = OpenMosaics(self.method, self.settings)

    def find(self, tasks: Sequence[TileTask]) -> Iterator[tuple[int, FoundHeights]]:
        """Yield the place of each task and its heights; whatever becomes of one, others go on."""
        waiting: list[tuple[int, TileTask, Look]] = []
        for place, task in enumerate(tasks):
            begun, n_before = self._begin(task)
            if isinstance(begun, FoundHeights):
                yield place, begun
            elif n_before:
                # Perhaps this one killed a process: nobody else shall be blamed for it.
                yield place, self._alone(task, begun)
            else:
                waiting.append((place, task, begun))
            if sum(look.image.size for _, _, look in waiting) >= PIXELS_AT_ONCE:
                yield from self._together(waiting)
                waiting = []
        yield from self._together(waiting)

    def _begin(self, task: TileTask) -> tuple[Look | FoundHeights, int]:
        """Note the attempt and read the window; return also how often it was tried before."""
        scratch = Scratch(Path(task.scratch))
        reason = f"its process died {MAX_ATTEMPTS} times"
        while (attempts := scratch.begin_attempt(task.unit)) < MAX_ATTEMPTS:
            try:
                # Whoever makes particles of the heights wants the survey too.
                mosaic, survey = self._opened.look(task.mosaic_path, scratch, keep=True)
                window = self._opened.window(task.core, mosaic, survey, self.halo_px)
                return Look(survey.grey.working(mosaic.read(window)), window, survey), attempts
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                if is_storage_full(error):
                    return FoundHeights(FULL, reason=reason), attempts
        # Ray may hand out a tile once more after it was given up: that is no attempt.
        return FoundHeights(FAILED, attempts=MAX_ATTEMPTS, reason=reason), attempts

    def _together(
        self, waiting: Sequence[tuple[int, TileTask, Look]]
    ) -> Iterator[tuple[int, FoundHeights]]:
        started = time.monotonic()
        try:
            answers = list(self._ask([look for _, _, look in waiting]))
        except Exception:
            # One of them is at fault; the others shall not be lost with it.
            for place, task, look in waiting:
                yield place, self._alone(task, look)
            return
        seconds = (time.monotonic() - started) / max(len(waiting), 1)
        for (place, task, look), answer in zip(waiting, answers, strict=True):
            yield place, _finished(task, look, answer, seconds)

    def _alone(self, task: TileTask, look: Look) -> FoundHeights:
        """Ask about one window until it is answered or given up."""
        started = time.monotonic()
        scratch = Scratch(Path(task.scratch))
        while True:
            try:
                (answer,) = self._ask([look])
                return _finished(task, look, answer, time.monotonic() - started)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                if is_storage_full(error):
                    return FoundHeights(FULL, reason=reason)
                if scratch.begin_attempt(task.unit) >= MAX_ATTEMPTS:
                    return FoundHeights(FAILED, attempts=MAX_ATTEMPTS, reason=reason)

    def _ask(self, looks: Sequence[Look]) -> Iterable[NDArray[np.uint16]]:
        if isinstance(self.method, BatchMethod):
            return self.method.heights_of_all(looks, self.settings)
        return (self.method.heights(*look, self.settings) for look in looks)


def _finished(
    task: TileTask, look: Look, heights: NDArray[np.uint16], seconds: float
) -> FoundHeights:
    """Keep the heights that the regions need: those of the core, and of one pixel around it."""
    ringed = task.core.grown(1, (look.window.y1, look.window.x1))
    y0, x0 = ringed.y0 - look.window.y0, ringed.x0 - look.window.x0
    part = heights[y0 : y0 + ringed.shape[0], x0 : x0 + ringed.shape[1]]
    Scratch(Path(task.scratch)).end_attempts(task.unit)
    return FoundHeights(heights=part.tobytes(), seconds=seconds)


class HeightsActor:
    """Finds the heights of batches of tiles; for a pool of actors, with what they have opened."""

    def __init__(self, settings: dict[str, Any], halo_px: int) -> None:
        cv2.setNumThreads(1)
        wanted = SegmentationSettings(**settings)
        self._finder = HeightsFinder(wanted, load_method(wanted.method), halo_px)

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield every row with what was found; rows of tiles to be painted pass at once."""
        columns = {name: values.tolist() for name, values in batch.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for row in rows:
            if row["paint"]:
                yield _one_row(row, FoundHeights())
        rows = [row for row in rows if not row["paint"]]
        for place, found in self._finder.find([TileTask.from_row(row) for row in rows]):
            yield _one_row(rows[place], found)


def _one_row(row: dict[str, Any], found: FoundHeights) -> dict[str, Any]:
    named = {f"found_{name}": value for name, value in asdict(found).items()}
    return {name: [value] for name, value in {**row, **named}.items()}
