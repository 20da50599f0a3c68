"""What a driver costs for simulated tiles: one run in a process of its own, said as JSON.

``python -m tests.benchmarks.scaling_once TILES MOSAIC_PX [TILES_PER_OBJECT [AT_ONCE]]``
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cluster.resources import ActorPool
from cluster.session import connect
from pipelines import appending
from pipelines.segmentation import flow, standing
from pipelines.segmentation.plan import plan_segmentation
from pipelines.segmentation.settings import SegmentationSettings
from tests.benchmarks.segment_once import PeakMemory
from tests.benchmarks.simulated_tiles import CORE_PX, SimulatedSegmenter, make_archive

N_WORKERS = 2


@dataclass
class Clock:
    """Adds up how long calls of some function take."""

    seconds: float = 0.0
    n_calls: int = 0

    def watch(self, owner: Any, name: str) -> "Clock":
        """Time all calls from now on."""
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started
                self.n_calls += 1

        setattr(owner, name, timed)
        return self


def main(
    n_tiles: int, mosaic_px: int, per_object: int | None = None, at_once: int = flow.JOBS_AT_ONCE
) -> dict[str, Any]:
    """Segment simulated tiles, and plan again when all is done."""
    flow.MeasuredSegmenter = SimulatedSegmenter
    # Also where JOBS_PER_ACTOR would say more.
    flow._n_at_once = lambda *pools: at_once
    if per_object is not None:
        flow.MAX_TILES_PER_BLOCK, flow.BLOCKS_PER_ACTOR = per_object, 1
    commits = Clock().watch(appending.Appender, "append")
    solving = Clock().watch(standing.Standing, "solve")
    publishing = Clock().watch(standing.Standing, "finish")
    me, memory = psutil.Process(), PeakMemory()
    waves_mb = _watch_waves(me)
    with tempfile.TemporaryDirectory() as folder, connect("local", num_cpus=N_WORKERS):
        archive = make_archive(Path(folder) / "a", n_tiles, mosaic_px)
        names = archive.mosaic_names()
        settings = SegmentationSettings()
        before = me.memory_info().rss
        memory.start()
        started, busy = time.perf_counter(), time.process_time()
        plan = plan_segmentation(archive, names, settings, core_px=CORE_PX)
        planned = time.perf_counter()
        first: list[float] = []
        entries = flow.segment_mosaics(
            archive,
            plan,
            ActorPool(N_WORKERS),
            on_tile=lambda _: first or first.append(time.perf_counter()),
        )
        ended, busy = time.perf_counter(), time.process_time() - busy
        peak = memory.driver_bytes
        again = plan_segmentation(archive, names, settings, core_px=CORE_PX)
        looked = time.perf_counter()
    assert len(entries) == len(names)
    assert again.n_tiles == 0
    return {
        "tiles": plan.n_tiles,
        "mosaics": len(names),
        "tiles_per_object": min(flow.MAX_TILES_PER_BLOCK, _per_block(plan.n_tiles, at_once)),
        "jobs_at_once": at_once,
        "plan_s": planned - started,
        "start_s": first[0] - planned,
        "run_s": ended - planned,
        "driver_cpu_s": busy,
        "commit_s": commits.seconds,
        "commits": commits.n_calls,
        "solve_s": solving.seconds,
        "publish_s": publishing.seconds,
        "resume_s": looked - ended,
        "before_mb": before / 1e6,
        "peak_mb": peak / 1e6,
        "waves_mb": waves_mb,
    }


def _watch_waves(me: psutil.Process) -> list[float]:
    """Return a list that will hold the driver's memory at the begin of each wave."""
    found: list[float] = []
    original = flow._stream

    def watched(*args: Any) -> Any:
        found.append(me.memory_info().rss / 1e6)
        return original(*args)

    flow._stream = watched
    return found


def _per_block(n_tiles: int, at_once: int) -> int:
    """Return how many tiles the flow puts into an object, but for its limit."""
    n_jobs = min(2 * n_tiles, at_once)
    return max(1, n_jobs // (flow.BLOCKS_PER_ACTOR * N_WORKERS))


if __name__ == "__main__":
    print(json.dumps(main(*(int(argument) for argument in sys.argv[1:]))))
