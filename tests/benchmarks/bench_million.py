"""A million simulated tiles through one driver: a quarter of an hour on a quiet machine."""

from tests.benchmarks.bench_scaling import drive
from tests.benchmarks.record import Measurement

N_TILES, MOSAIC_PX = 10**6, 32768
SMALL = 10**3


def run() -> list[Measurement]:
    small, large = drive(SMALL, MOSAIC_PX), drive(N_TILES, MOSAIC_PX)
    mib = (large["peak_mb"] - large["before_mb"]) * 1e6 / 2**20
    few, many = (run["commit_s"] / run["tiles"] * 1e6 for run in (small, large))
    return [
        Measurement(
            f"memory of a driver above its start, {large['tiles']:,} simulated tiles",
            f"{mib:.0f} MiB", "1024 MiB", mib / 1024, "at most", 1.0,
        ),
        Measurement(
            f"commits to the ledger per tile, {large['tiles']:,} simulated tiles against "
            f"{small['tiles']:,}",
            f"{many:.0f} µs", f"{few:.0f} µs", many / few, "at most", 2.0,
        ),
    ]  # fmt: skip
