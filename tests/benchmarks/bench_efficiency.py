"""How much of a second worker a segmentation gains by: only a quiet machine can tell."""

import shutil
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.bench_segmentation import segment_once
from tests.benchmarks.particles import draw_block, make_archive
from tests.benchmarks.record import Measurement

N_REPEATS = 3
GOAL = 0.85


def run(size_px: int = 16384) -> list[Measurement]:
    """Time one worker and two by turns, each on a fresh copy of the same mosaic."""
    with tempfile.TemporaryDirectory() as folder:
        block, _ = draw_block()
        pairs = []
        for number in range(N_REPEATS):
            times = []
            for n_workers in (1, 2):
                root = Path(folder) / f"{number}-{n_workers}"
                archive = make_archive(root, block, size_px)
                times.append(float(segment_once(archive, str(n_workers))["seconds"]))
                shutil.rmtree(root)
            print(f"1 worker {times[0]:.1f} s, 2 workers {times[1]:.1f} s", flush=True)
            pairs.append(times)
    one, two = (statistics.median(times) for times in zip(*pairs, strict=True))
    return [
        Measurement(
            f"parallel efficiency of segment, 2 workers against 1, {size_px}² past Ray's start",
            f"{two:.1f} s",
            f"{one:.1f} s",
            statistics.median(alone / (2 * both) for alone, both in pairs),
            "at least",
            GOAL,
        )
    ]
