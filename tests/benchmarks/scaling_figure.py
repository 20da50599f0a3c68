"""A figure of what a driver costs, and of how far a cluster goes with one."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

PICTURE = Path(__file__).parents[2] / ".assets" / "scaling.png"


def draw(result: dict[str, Any], path: Path = PICTURE) -> None:
    """Draw the figure of the results that `bench_scaling` keeps."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    ledger, memory, archive = figure.subplots(1, 3)
    for name, label in (("ledger_us", "ledger"), ("seams_us", "seam graph, 50 particles a tile")):
        tiles = [int(n) for n in result[name]]
        ledger.loglog(tiles, list(result[name].values()), "o-", label=label)
    ledger.set(
        title="Cost of a tile to the driver",
        xlabel="tiles",
        ylabel="processor time per tile (µs)",
        ylim=(1, 1000),
    )
    ledger.legend()

    for run in result["driver"]:
        peak = (run["peak_mb"] - run["before_mb"]) / 1.048576
        memory.semilogx([run["tiles"]], [peak], "o", color="tab:blue")
        per_object = f" {run['tiles_per_object']}"
        memory.text(run["tiles"], peak, per_object, va="center", fontsize=7, color="tab:blue")
    memory.axhline(1024, color="grey", ls="--")
    memory.text(1.2e3, 1050, "goal at a million tiles: 1 GiB", color="grey")
    memory.set(
        title="Memory of the driver (tiles to an object)",
        xlabel="simulated tiles",
        ylabel="peak above the start (MiB)",
        ylim=(0, 1200),
        xlim=(8e2, 1.3e6),
    )

    rows = result["archive"]
    archive.loglog([r["workers"] for r in rows], [r["hours"] for r in rows], "o-", label="model")
    perfect = rows[0]["hours"] * rows[0]["workers"]
    archive.loglog(
        [r["workers"] for r in rows],
        [perfect / r["workers"] for r in rows],
        ":",
        color="grey",
        label="if nothing were in the way",
    )
    archive.axvline(result["most_workers"], color="tab:red", ls="--")
    archive.text(
        result["most_workers"], archive.get_ylim()[1], " the driver is busy ", color="tab:red",
        va="top", ha="right", rotation=90,
    )  # fmt: skip
    archive.set(
        title="10,000 mosaics of 1 Gpx",
        xlabel="workers (16 to a node)",
        ylabel="hours, by the model",
    )
    workers = [r["workers"] for r in rows]
    archive.set_xticks(workers, [str(n) for n in workers])
    archive.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    archive.minorticks_off()
    archive.legend(loc="lower left")
    for axes in (ledger, memory, archive):
        axes.grid(True, which="major", alpha=0.3)
    figure.savefig(path, dpi=110)
