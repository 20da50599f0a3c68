"""Score windows of mosaics, one after another: what an actor does, and what a laptop does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.catalogue import draws_maps, get_detector
from pipelines.defects.model import DefectModel, read_defect_model
from pipelines.defects.windows import Target, WindowScores, halo_px, plan_pieces, score_window
from pipelines.errors import TesseraError
from pipelines.mosaic.ome_zarr import Mosaic, open_mosaic
from pipelines.mosaic.tiling import blocks
from pipelines.places import place
from pipelines.records import Window

#: Edge of what is scored at once, and of a shard of the map.
CORE_PX = 2048


@dataclass(frozen=True)
class Job:
    """A core of a mosaic, and the mosaic's path."""

    path: str
    core: Window


@dataclass(frozen=True)
class Scored:
    """What came of a job: scores, or the reason why there are none."""

    job: Job
    found: WindowScores | None
    reason: str = ""


def plan_jobs(paths: Sequence[Path], *, core_px: int = CORE_PX) -> list[Job]:
    """Cut mosaics into cores, those of one mosaic together."""
    jobs = []
    for path in paths:
        shape = open_mosaic(path).info.shape
        jobs += [Job(str(path), core) for core in blocks(shape, core_px)]
    return jobs


class WindowScorer:
    """Scores cores of mosaics with one model; mosaics are surveyed once, when first met."""

    def __init__(self, model_folder: str, stride_px: int) -> None:
        self._model, _ = read_defect_model(Path(model_folder))
        self._detector = get_detector(self._model.method)
        self._stride_px = stride_px
        self._mosaics: dict[str, tuple[Mosaic, Target]] = {}

    def score(self, job: Job) -> Scored:
        """Score a core; what cannot be scored says why."""
        try:
            mosaic, target = self._open(job.path)
            halo = halo_px(self._detector, self._model, target)
            window = job.core.grown(halo, target.shape)
            found = score_window(
                self._detector,
                self._model,
                target,
                core=job.core,
                window=window,
                image=mosaic.read(window),
            )
        except (TesseraError, OSError) as error:
            return Scored(job, None, " ".join(str(error).split()))
        return Scored(job, found)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """Score a batch of rows of jobs, as Ray hands them over."""
        # Ray may hand over an empty block without columns.
        if "path" not in batch:
            return {}
        windows = np.stack([batch[name] for name in ("y0", "x0", "y1", "x1")], axis=1)
        rows = zip(batch["job"], batch["path"], windows, strict=True)
        done = [
            to_row(int(i), self.score(Job(str(path), Window(*map(int, w))))) for i, path, w in rows
        ]
        return {name: [row[name] for row in done] for name in _COLUMNS}

    def _open(self, path: str) -> tuple[Mosaic, Target]:
        if path not in self._mosaics:
            # Jobs of a mosaic come together, so the last few are enough.
            while len(self._mosaics) >= 4:
                self._mosaics.pop(next(iter(self._mosaics)))
            mosaic = open_mosaic(place(path))
            survey = survey_mosaic(self._detector, self._model, mosaic)
            shape = mosaic.info.shape
            self._mosaics[path] = mosaic, Target(mosaic.info.name, shape, self._stride_px, survey)
        return self._mosaics[path]


def survey_mosaic(detector: Any, model: DefectModel, mosaic: Mosaic) -> Any:
    """Let a detector learn what belongs to one mosaic alone."""
    if not draws_maps(detector):
        return None
    pieces = plan_pieces(mosaic.info.shape, patch_px=model.patch_px)
    return detector.survey(
        model, np.stack([mosaic.read(piece).astype(np.float32) for piece in pieces])
    )


def score_here(model_folder: Path, jobs: Sequence[Job], *, stride_px: int) -> Iterator[Scored]:
    """Score cores in this process."""
    scorer = WindowScorer(str(model_folder), stride_px)
    for job in jobs:
        yield scorer.score(job)


_COLUMNS = ("job", "reason", "origins", "scores", "oddness")


def to_row(index: int, scored: Scored) -> dict[str, Any]:
    """Turn a result into a row of plain bytes; ``index`` is the job's."""
    found = scored.found
    return {
        "job": index,
        "reason": scored.reason,
        "origins": b"" if found is None else found.origins_yx.astype(np.int64).tobytes(),
        "scores": b"" if found is None else found.scores.astype(np.float64).tobytes(),
        "oddness": b"" if found is None or found.oddness is None else found.oddness.tobytes(),
    }


def from_row(job: Job, row: dict[str, Any]) -> Scored:
    """Turn a row back into a result."""
    if row["reason"]:
        return Scored(job, None, row["reason"])
    has_map = bool(row["oddness"])
    oddness = np.frombuffer(row["oddness"], np.float32)
    return Scored(
        job,
        WindowScores(
            job.core,
            np.frombuffer(row["origins"], np.int64).reshape(-1, 2),
            np.frombuffer(row["scores"], np.float64),
            oddness.reshape(job.core.shape) if has_map else None,
        ),
    )
