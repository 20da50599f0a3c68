"""``python -m tests.benchmarks.scaling_once N_TILES N_WORKERS``: what a driver costs, as JSON."""

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


@dataclass
class Clock:
    """Adds up how long calls of some function take."""

    seconds: float = 0.0
    n_calls: int = 0

    def watch(self, owner: Any, name: str) -> "Clock":
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


def main(n_tiles: int, n_workers: int) -> dict[str, Any]:
    """Segment simulated tiles, and plan again when all is done."""
    flow.MeasuredSegmenter = SimulatedSegmenter
    commits = Clock().watch(appending.Appender, "append")
    solving = Clock().watch(standing.Standing, "solve")
    publishing = Clock().watch(standing.Standing, "finish")
    me, memory = psutil.Process(), PeakMemory()
    with tempfile.TemporaryDirectory() as folder, connect("local", num_cpus=2):
        archive = make_archive(Path(folder) / "a", n_tiles)
        names = archive.mosaic_names()
        settings = SegmentationSettings()
        before = me.memory_info().rss
        memory.start()
        started = time.perf_counter()
        plan = plan_segmentation(archive, names, settings, core_px=CORE_PX)
        planned = time.perf_counter()
        entries = flow.segment_mosaics(archive, plan, ActorPool(n_workers))
        ended = time.perf_counter()
        peak = memory.driver_bytes
        again = plan_segmentation(archive, names, settings, core_px=CORE_PX)
        looked = time.perf_counter()
    assert len(entries) == len(names)
    return {
        "tiles": plan.n_tiles,
        "mosaics": len(names),
        "workers": n_workers,
        "plan_s": planned - started,
        "run_s": ended - planned,
        "commit_s": commits.seconds,
        "commits": commits.n_calls,
        "solve_s": solving.seconds,
        "publish_s": publishing.seconds,
        "resume_s": looked - ended,
        "left": again.n_tiles,
        "before_mb": before / 1e6,
        "peak_mb": peak / 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
