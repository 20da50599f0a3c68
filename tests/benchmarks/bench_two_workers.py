"""What a second worker gains, and whether the model of scaling foresees it.

Only a quiet machine can tell. The model's costs of the driver are those that `bench_scaling` kept.
"""

import json
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.bench_scaling import RESULTS
from tests.benchmarks.bench_segmentation import segment_once
from tests.benchmarks.particles import draw_block, make_archive
from tests.benchmarks.record import Measurement
from tests.benchmarks.scaling_model import Cluster, Costs, DriverCosts, Load, fit_workers
from tests.benchmarks.simulated_tiles import CORE_PX

Pair = tuple[dict[str, Any], dict[str, Any]]

N_REPEATS = 3
GOAL = 0.85
FITTED_PX = (4096, 8192)


def run(size_px: int = 16384) -> list[Measurement]:
    """Time one worker and two by turns; foresee the largest mosaic from the smaller ones."""
    block, _ = draw_block()
    times = {size: [_pair(block, size) for _ in range(N_REPEATS)] for size in FITTED_PX}
    largest = [_pair(block, size_px) for _ in range(N_REPEATS)]
    loads, clusters, seconds = [], [], []
    for size, pairs in times.items():
        for n_workers, of_these in enumerate(zip(*pairs, strict=True), start=1):
            loads.append(_load(size))
            clusters.append(Cluster(1, n_workers, spare_cores=False))
            seconds.append(statistics.median(run["seconds"] for run in of_these))
    driver = DriverCosts(**json.loads(RESULTS.read_text())["costs"]["driver"])
    costs = Costs(driver, *fit_workers(loads, clusters, seconds))
    two = statistics.median(both["seconds"] for _, both in largest)
    foreseen = costs.seconds(_load(size_px), Cluster(1, 2, spare_cores=False))
    name = f"parallel efficiency of segment, 2 workers against 1, {size_px}² past"
    return [
        _efficiency(f"{name} the workers' start", largest, "working_s"),
        _efficiency(f"{name} Ray's start, the workers' included", largest, "seconds"),
        Measurement(
            f"the model's error for 2 workers at {size_px}², fitted to 1 and 2 at "
            f"{'² and '.join(map(str, FITTED_PX))}²",
            f"{foreseen:.1f} s",
            f"{two:.1f} s",
            abs(foreseen / two - 1),
            "at most",
            0.2,
        ),
    ]


def _efficiency(name: str, pairs: Sequence[Pair], what: str) -> Measurement:
    one, two = (statistics.median(run[what] for run in runs) for runs in zip(*pairs, strict=True))
    return Measurement(
        name,
        f"{two:.1f} s",
        f"{one:.1f} s",
        statistics.median(alone[what] / (2 * both[what]) for alone, both in pairs),
        "at least",
        GOAL,
    )


def _pair(block: NDArray[np.uint8], size_px: int) -> Pair:
    """Run one worker and two, each on a fresh copy of the same mosaic."""
    found = []
    for n_workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            archive = make_archive(Path(folder) / "a", block, size_px)
            found.append(segment_once(archive, str(n_workers)))
            shutil.rmtree(archive.root)
    said = (f"{run['seconds']:.1f} s ({run['working_s']:.1f} s)" for run in found)
    print(f"{size_px}²: 1 and 2 workers", *said, flush=True)
    return found[0], found[1]


def _load(size_px: int) -> Load:
    """Return what there is to do: as drawn, a thousand particles to 4096 pixels squared."""
    n_tiles = (size_px // CORE_PX) ** 2
    # So few that every tile is an object of its own.
    return Load(n_tiles, 1, 1000 * (size_px // 4096) ** 2, tiles_per_object=1)
