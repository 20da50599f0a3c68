"""How far one driver goes: its memory, its ledger, its seams; and what a model makes of that.

All runs and the fitted model go to ``scaling.json`` beside this file, and ``.assets/scaling.png``
shows them. Costs are processor time, which a busy machine changes little.
"""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from tests.benchmarks.driver_costs import (
    ledger_us_per_tile,
    particle_us_and_tile_s,
    seams_us_per_tile,
)
from tests.benchmarks.record import HERE, Measurement, machine
from tests.benchmarks.scaling_figure import draw
from tests.benchmarks.scaling_model import Cluster, Costs, Load, fit_driver
from tests.benchmarks.scaling_tables import write_tables

RESULTS = HERE / "scaling.json"
LEDGER_TILES = (10**3, 10**4, 10**5, 10**6)
SEAM_TILES = (256, 1024, 4096)
#: Tiles, edge of a mosaic in pixels; tiles to an object and jobs at once, where they are not the
#: flow's choice.
DRIVER_RUNS = (
    (10**3, 32768),
    (2 * 10**3, 32768, 2),
    (4 * 10**3, 8192),
    (10**4, 32768),
    (10**4, 32768, 128),
    (10**4, 32768, 16, 4096),
    (10**5, 32768),
)
HELD_OUT_RUN = (2 * 10**4, 32768, 32)
#: The archive of a facility: ten thousand mosaics of a gigapixel, with particles as drawn here.
ARCHIVE = Load(tiles=2_560_000, mosaics=10_000, particles=640_000_000)
WORKERS_PER_NODE = 16
NODES = (1, 2, 4, 8, 16)


def run() -> list[Measurement]:
    ledger_us_per_tile(10)  # Libraries are loaded with the first commit.
    particle_us, tile_s = particle_us_and_tile_s()
    measured: dict[str, Any] = {
        "ledger_us": {n: ledger_us_per_tile(n) for n in LEDGER_TILES},
        "seams_us": {n: seams_us_per_tile(n) for n in SEAM_TILES},
        "particle_us": particle_us,
        "tile_s": tile_s,
        "driver": [drive(*order) for order in DRIVER_RUNS],
        "held_out": drive(*HELD_OUT_RUN),
    }
    facts = {"machine": machine(), "at": datetime.now(UTC).isoformat(timespec="minutes")}
    result = {**facts, **measured, **model(measured)}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    draw(result)
    write_tables(result)
    return measurements(result)


def drive(*order: int) -> dict[str, Any]:
    """Send simulated tiles through a driver, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scaling_once", *map(str, order)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found), flush=True)
    return found


def model(measured: dict[str, Any]) -> dict[str, Any]:
    """Fit the model, check it on a run that it has not seen, and ask it for a whole archive."""
    runs = measured["driver"]
    # No particle is in these runs; what one costs was measured by itself.
    driver = replace(
        fit_driver([load_of(r) for r in runs], [r["driver_cpu_s"] for r in runs]),
        particle_s=measured["particle_us"] * 1e-6,
    )
    costs = Costs(driver, measured["tile_s"], min(r["start_s"] for r in runs))
    clusters = [Cluster(n, WORKERS_PER_NODE) for n in NODES]
    return {
        "million_mib": million_mib(max(runs, key=_tiles)),
        "costs": asdict(costs),
        "foreseen_s": driver.seconds(load_of(measured["held_out"])),
        "most_workers": costs.most_workers(ARCHIVE),
        "driver_hours": driver.seconds(ARCHIVE) / 3600,
        "driver_shares": costs.shares(ARCHIVE),
        "archive": [
            {
                "workers": cluster.workers,
                "hours": costs.seconds(ARCHIVE, cluster) / 3600,
                "efficiency": costs.efficiency(ARCHIVE, cluster),
            }
            for cluster in clusters
        ],
    }


def million_mib(run: dict[str, Any]) -> float:
    """Return what a driver holds above its start when a million tiles are done.

    That is what it holds in a run of several waves, and what further waves leave behind.
    """
    # The first wave finds nothing loaded.
    n_tiles = (len(run["waves_mb"]) - 2) * run["jobs_at_once"] / 2
    left_mb = max(0.0, run["waves_mb"][-1] - run["waves_mb"][1]) / n_tiles
    mb = run["peak_mb"] - run["before_mb"] + left_mb * (10**6 - run["tiles"])
    return mb * 1e6 / 2**20


def load_of(run: dict[str, Any]) -> Load:
    """Return what there was to do in a run."""
    return Load(
        run["tiles"],
        run["mosaics"],
        tiles_per_object=run["tiles_per_object"],
        jobs_at_once=run["jobs_at_once"],
    )


def measurements(result: dict[str, Any]) -> list[Measurement]:
    """Sum up what was reached."""
    ledger, seams = (
        {int(n): us for n, us in result[name].items()} for name in ("ledger_us", "seams_us")
    )
    mib = result["million_mib"]
    foreseen, needed = result["foreseen_s"], result["held_out"]["driver_cpu_s"]
    return [
        Measurement(
            "memory of a driver with a million tiles, if it grows from wave to wave as it does "
            f"with {max(map(_tiles, result['driver'])):,}",
            f"{mib:.0f} MiB", "1024 MiB", mib / 1024, "at most", 1.0,
        ),
        Measurement(
            f"a tile in the ledger of {max(ledger):,} tiles, against one of {min(ledger):,} "
            "(processor time)",
            f"{ledger[max(ledger)]:.0f} µs", f"{ledger[min(ledger)]:.0f} µs",
            ledger[max(ledger)] / ledger[min(ledger)], "at most", 2.0,
        ),
        Measurement(
            f"a tile in the seam graph of {max(seams):,} tiles, against one of {min(seams):,} "
            "(processor time)",
            f"{seams[max(seams)]:.0f} µs", f"{seams[min(seams)]:.0f} µs",
            seams[max(seams)] / seams[min(seams)], "at most", 2.0,
        ),
        Measurement(
            f"the model's error for a driver with {result['held_out']['tiles']:,} tiles, which it "
            "was not fitted to (processor time)",
            f"{foreseen:.1f} s", f"{needed:.1f} s", abs(foreseen / needed - 1), "at most", 0.2,
        ),
    ]  # fmt: skip


def _tiles(run: dict[str, Any]) -> int:
    return int(run["tiles"])
