"""Words on how far a cluster goes, from what `bench_scaling` measured."""

from typing import Any

from tests.benchmarks.record import write_between_marks

#: What the shares of the driver's time are called.
WHERE = {
    "particle": "particles: seams, measurements, table",
    "object": "objects of Ray Data with results",
    "mosaic": "mosaics: their images begun and published",
    "tile": "tiles: rows, ledger",
    "wave": "starts of actors",
}


def write_tables(result: dict[str, Any]) -> None:
    """Show the words and tables."""
    write_between_marks("scaling", tables(result))


def tables(result: dict[str, Any]) -> str:
    """Write what the model says of a whole archive."""
    rows = result["archive"]
    shares = sorted(result["driver_shares"].items(), key=lambda item: -item[1])
    facts = result["machine"]
    return "\n".join(
        [
            "![Costs of a tile, memory of the driver, and hours over workers](.assets/scaling.png)",
            "",
            "| workers | " + " | ".join(str(row["workers"]) for row in rows) + " |",
            "| --- |" + " --- |" * len(rows),
            "| hours | " + " | ".join(f"{row['hours']:.1f}" for row in rows) + " |",
            "| of the workers' time on tiles | "
            + " | ".join(f"{row['efficiency']:.0%}" for row in rows)
            + " |",
            "",
            f"With more than {result['most_workers']:.0f} workers everybody waits for the driver, "
            f"which is busy for {result['driver_hours']:.1f} hours:",
            "; ".join(f"{share:.0%} with {WHERE[name]}" for name, share in shares) + ".",
            "",
            f"The costs were measured with up to {max(r['tiles'] for r in result['driver']):,} "
            f"tiles on {facts['cores']} cores of {facts['processor']}, {result['at']}. What a "
            "network or a bucket adds is not in them.",
        ]
    )
