"""Score mosaics on Ray: a stream of cores; pixels are read by the actors themselves."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from cluster.metrics import WorkMetrics
from cluster.resources import ActorPool
from cluster.streams import map_blocks
from pipelines.defects.work import Job, Scored, WindowScorer, from_row

#: Blocks of jobs per actor: enough that none is idle long while another ends its last.
BLOCKS_PER_ACTOR = 8
#: Name of the stage in the cluster's metrics.
STAGE = "defects"


class MeasuredScorer(WindowScorer):
    """Scores cores, and counts them where the cluster's metrics are collected."""

    def __init__(self, model_folder: str, stride_px: int) -> None:
        super().__init__(model_folder, stride_px)
        self._metrics = WorkMetrics(STAGE)

    def score(self, job: Job) -> Scored:
        """Score a core, and take note of how long that took."""
        started = time.monotonic()
        scored = super().score(job)
        self._metrics.ended(
            failed=scored.found is None, seconds=time.monotonic() - started, n_bytes=0
        )
        return scored


def score_on_ray(
    model_folder: Path, jobs: Sequence[Job], *, stride_px: int, pool: ActorPool
) -> Iterator[Scored]:
    """Score cores of mosaics on a connected Ray, in any order.

    Parameters
    ----------
    model_folder : Path
        The model; all workers must see it, and the mosaics.
    jobs : sequence of Job
        From `pipelines.defects.work.plan_jobs`.
    stride_px : int
        Distance of patches.
    pool : ActorPool
        What to use; no more of it than there are blocks.

    Yields
    ------
    scored : Scored
        One per job.
    """
    per_block = max(1, len(jobs) // (BLOCKS_PER_ACTOR * pool.size))
    rows = [
        {"job": i, "path": job.path, **dict(zip(("y0", "x0", "y1", "x1"), job.core, strict=True))}
        for i, job in enumerate(jobs)
    ]
    # A block is a few numbers, and one batch: cores of a mosaic stay together.
    blocks = [pa.Table.from_pylist(rows[i : i + per_block]) for i in range(0, len(rows), per_block)]
    arguments = {"model_folder": str(model_folder), "stride_px": stride_px}
    batches = map_blocks(blocks, MeasuredScorer, arguments, key="job", pool=pool, takes="numpy")
    # Ended here whatever happens: later, Ray would be started anew to end it.
    with closing(batches), WorkMetrics(STAGE).queue() as queue:
        queue.grow_to(len(jobs))
        for batch in batches:
            for row in batch.to_pylist():
                yield from_row(jobs[row["job"]], row)
                queue.shrink()
