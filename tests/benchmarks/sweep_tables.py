"""``python -m tests.benchmarks.sweep_tables ARCHIVE...``: the README's tables of sweeps.

Takes the trials that `tessera sweep` left in archives, keeps their summary beside the benchmarks'
results, and writes the README's tables from it.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.archive import open_archive
from pipelines.sweeps.intervals import curves_over_seeds
from pipelines.tables import read_rows
from tests.benchmarks.record import HERE, README, machine

RESULTS = HERE / "sweeps.json"
BEGIN, END = "<!-- sweeps: begin -->", "<!-- sweeps: end -->"


def main() -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for folder in sys.argv[1:]:
        rows = read_rows(open_archive(Path(folder)), "trials").to_pylist()
        for preset in sorted({row["preset"] for row in rows}):
            found = summarise([row for row in rows if row["preset"] == preset])
            results[preset] = merged(results.get(preset), found)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{tables(results)}\n{END}{tail}")


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Condense a preset's trials: per method and error rate the mean, its interval, the worst."""
    cells: dict[str, dict[str, Any]] = {}
    for method, curve in curves_over_seeds(rows, "last").items():
        cells[method] = {}
        for rate, value, low, high in zip(
            curve.x, curve.values, curve.low, curve.high, strict=True
        ):
            at = [r for r in rows if r["method"] == method and r["error_rate"] == rate]
            cells[method][f"{rate:g}"] = {
                "mean": float(value),
                "low": None if len(at) < 2 else float(low),
                "high": None if len(at) < 2 else float(high),
                "worst": min(r["last"] for r in at),
                "seeds": len(at),
                **means(at),
            }
    newest = rows[-1]
    return {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "noise": newest["noise"],
        "n_train": newest["n_train"],
        "n_test": newest["n_test"],
        "n_epochs": newest["n_epochs"],
        "cells": cells,
    }


#: Seeds without which no interval over them is shown.
LEAST_SEEDS = 3
#: What two sweeps must share to stand in one table.
TERMS = ("noise", "n_train", "n_test", "n_epochs")


def merged(before: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """Keep the methods of an earlier sweep at the same terms that were not run anew."""
    if before is None or any(before[term] != found[term] for term in TERMS):
        return found
    left = {name: cells for name, cells in before["cells"].items() if name not in found["cells"]}
    if not left:
        return found
    since = before.get("since", before["at"])
    return {**found, "since": since, "cells": {**found["cells"], **left}}


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Average what else is worth knowing of trials, where they have it."""
    found = {}
    for name in ("kept_precision", "memorised", "achiral_share"):
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            found[name] = sum(values) / len(values)
    gaps = [
        row["accuracy_true"] - row["accuracy_mirrored"]
        for row in rows
        if row["accuracy_mirrored"] is not None
    ]
    if gaps:
        found["mirror_gap"] = sum(gaps) / len(gaps)
    return found


def tables(results: dict[str, Any]) -> str:
    lines: list[str] = []
    for preset, found in results.items():
        rates = sorted({float(rate) for cells in found["cells"].values() for rate in cells})
        lines += [
            f"`{preset}`: {found['noise']}, {found['n_train']:,} particles to train on, "
            f"{found['n_test']:,} to test on, {found['n_epochs']} epochs; {when(found)}, "
            f"{found['machine']['cores']} cores of {found['machine']['processor']}, no GPU.",
            "",
            "| method | " + " | ".join(f"{100 * rate:g} % wrong" for rate in rates) + " |",
            "| --- |" + " --- |" * len(rates),
        ]
        for method, cells in found["cells"].items():
            said = [cell(cells.get(f"{rate:g}")) for rate in rates]
            lines.append(f"| {method} | " + " | ".join(said) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def when(found: dict[str, Any]) -> str:
    return f"{found['since']} to {found['at']}" if "since" in found else str(found["at"])


def cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    text = f"{100 * found['mean']:.1f}"
    if found["seeds"] == 1:
        return f"{text} (1 seed)"
    if found["seeds"] < LEAST_SEEDS:
        # An interval over two seeds says nothing, and may reach beyond 100.
        return f"{text} ({found['seeds']} seeds; worst: {100 * found['worst']:.1f})"
    spread = f"{100 * found['low']:.1f} to {100 * found['high']:.1f}"
    return f"{text} ({spread}; worst of {found['seeds']}: {100 * found['worst']:.1f})"


if __name__ == "__main__":
    main()
