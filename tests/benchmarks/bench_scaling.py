"""How far one driver goes: its memory, its ledger, its seams; and what a model makes of that.

All runs and the fitted model go to ``scaling.json`` beside this file, and ``.assets/scaling.png``
shows them.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_segmentation import segment_once
from tests.benchmarks.driver_costs import ledger_us_per_tile, particle_us, seams_us_per_tile
from tests.benchmarks.particles import draw_block, make_archive
from tests.benchmarks.record import HERE, Measurement, machine
from tests.benchmarks.scaling_figure import draw
from tests.benchmarks.scaling_model import (
    Cluster,
    Costs,
    Load,
    fit_driver,
    fit_workers,
)

RESULTS = HERE / "scaling.json"
CORE_PX = 2048
LEDGER_TILES = (10**3, 10**4, 10**5, 10**6)
SEAM_TILES = (256, 1024, 4096)
#: Tiles, tiles to an object, and the edge of a mosaic in pixels.
DRIVER_RUNS = (
    (10**3, None, 32768),
    (10**4, None, 32768),
    (2 * 10**3, 2, 32768),
    (10**4, 128, 32768),
    (4 * 10**3, None, 8192),
    (10**5, 128, 32768),
)
HELD_OUT_RUN = (2 * 10**4, 32, 32768)
#: Edge of a drawn mosaic in pixels, and workers.
WORKER_RUNS = ((4096, 1), (4096, 2), (8192, 1), (8192, 2))
HELD_OUT_MOSAIC = (16384, 2)
#: The archive of a facility: ten thousand mosaics of a gigapixel, with particles as drawn here.
ARCHIVE = Load(tiles=2_560_000, mosaics=10_000, particles=640_000_000)
WORKERS_PER_NODE = 16


def run() -> list[Measurement]:
    ledger_us_per_tile(10)  # Libraries are loaded with the first commit.
    measured: dict[str, Any] = {
        "ledger_us": {n: ledger_us_per_tile(n) for n in LEDGER_TILES},
        "seams_us": {n: seams_us_per_tile(n) for n in SEAM_TILES},
        "particle_us": particle_us(),
        "driver": [drive(*order) for order in DRIVER_RUNS],
        "held_out_driver": drive(*HELD_OUT_RUN),
        "workers": [work(*order) for order in WORKER_RUNS],
        "held_out_workers": work(*HELD_OUT_MOSAIC),
    }
    result = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        **measured,
        **model(measured),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    draw(result)
    return measurements(result)


def drive(n_tiles: int, per_object: int | None, mosaic_px: int) -> dict[str, Any]:
    """Send simulated tiles through a driver, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scaling_once", str(n_tiles), str(mosaic_px)]
    command += [] if per_object is None else [str(per_object)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found), flush=True)
    return found


def work(size_px: int, n_workers: int) -> dict[str, Any]:
    """Segment a drawn mosaic, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = make_archive(Path(folder) / "a", draw_block()[0], size_px)
        found = segment_once(archive, str(n_workers))
    print(json.dumps(found), flush=True)
    return {
        "tiles": (size_px // CORE_PX) ** 2,
        "mosaics": 1,
        "particles": found["instances"],
        "tiles_per_object": 1,
        "workers": n_workers,
        "seconds": found["seconds"],
        "driver_cpu_s": found["driver_cpu_s"],
    }


def model(measured: dict[str, Any]) -> dict[str, Any]:
    """Fit the model, check it on runs that it has not seen, and ask it for a whole archive."""
    runs = measured["driver"]
    # No particle is in these runs; what one costs was measured by itself.
    driver = replace(
        fit_driver([load_of(r) for r in runs], [r["driver_cpu_s"] for r in runs]),
        particle_s=measured["particle_us"] * 1e-6,
    )
    worked = measured["workers"]
    work_s, start_s = fit_workers(
        [load_of(r) for r in worked],
        [Cluster(1, r["workers"]) for r in worked],
        [r["seconds"] for r in worked],
    )
    costs = Costs(driver, work_s, start_s)
    unseen, mosaic = measured["held_out_driver"], measured["held_out_workers"]
    foreseen = {
        "driver_s": driver.seconds(load_of(unseen)),
        "driver_measured_s": unseen["driver_cpu_s"],
        "segment_s": costs.seconds(load_of(mosaic), Cluster(1, mosaic["workers"], False)),
        "segment_measured_s": mosaic["seconds"],
    }
    nodes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    return {
        "costs": asdict(costs),
        "held_out": foreseen,
        "most_workers": costs.most_workers(ARCHIVE),
        "driver_shares": costs.shares(ARCHIVE),
        "driver_hours": driver.seconds(ARCHIVE) / 3600,
        "archive": [
            {
                "nodes": n,
                "workers": n * WORKERS_PER_NODE,
                "hours": costs.seconds(ARCHIVE, Cluster(n, WORKERS_PER_NODE)) / 3600,
                "efficiency": costs.efficiency(ARCHIVE, Cluster(n, WORKERS_PER_NODE)),
            }
            for n in nodes
        ],
    }


def load_of(run: dict[str, Any]) -> Load:
    """Return what there was to do in a run."""
    return Load(
        run["tiles"],
        run["mosaics"],
        run.get("particles", 0),
        tiles_per_object=run["tiles_per_object"],
    )


def measurements(result: dict[str, Any]) -> list[Measurement]:
    """Sum up what was reached."""
    ledger, seams = (
        {int(n): us for n, us in result[name].items()} for name in ("ledger_us", "seams_us")
    )
    largest = max(result["driver"], key=lambda r: r["tiles"])
    grown_mb = largest["peak_mb"] - largest["before_mb"]
    mib_per_million = grown_mb * 1e6 / 2**20 / largest["tiles"] * 1e6
    held_out = result["held_out"]
    driver_error, segment_error = (
        abs(held_out[f"{of}_s"] / held_out[f"{of}_measured_s"] - 1) for of in ("driver", "segment")
    )
    return [
        Measurement(
            f"driver memory of a million tiles, from {largest['tiles']:,} simulated ones",
            f"{mib_per_million:.0f} MiB", "1024 MiB", mib_per_million / 1024, "at most", 1.0,
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
            "the model's error on a driver's run that it had not seen",
            f"{held_out['driver_s']:.1f} s", f"{held_out['driver_measured_s']:.1f} s",
            driver_error, "at most", 0.2,
        ),
        Measurement(
            "the model's error on a segmentation that it had not seen",
            f"{held_out['segment_s']:.1f} s", f"{held_out['segment_measured_s']:.1f} s",
            segment_error, "at most", 0.2,
        ),
    ]  # fmt: skip
