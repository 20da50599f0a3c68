"""``python -m tests.benchmarks.sweep_tables ARCHIVE...``: tables and figure of sweeps.

Takes the trials that `tessera sweep` left in archives, keeps their summary beside the benchmarks'
results, and makes the tables and the figure from it.
"""

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pipelines.archive import open_archive
from pipelines.sweeps.intervals import curves_over_seeds
from pipelines.tables import read_rows
from tests.benchmarks.record import HERE, machine, write_between_marks
from tests.benchmarks.sweep_figure import draw
from tests.benchmarks.sweep_goals import cost_table

RESULTS = HERE / "sweeps.json"


def main() -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for folder in sys.argv[1:]:
        rows = read_rows(open_archive(Path(folder)), "trials").to_pylist()
        for preset in sorted({row["preset"] for row in rows}):
            of_preset = [row for row in rows if row["preset"] == preset]
            noises = sorted({row["noise"] for row in of_preset})
            for noise in noises:
                name = preset if len(noises) == 1 else f"{preset} --noise {noise}"
                found = summarise([row for row in of_preset if row["noise"] == noise])
                results[name] = merged(results.get(name), found)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_between_marks("sweeps", tables(results))
    write_between_marks("sweep-goals", cost_table(results))
    draw(results)


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
                **against_baseline(at, rows),
            }
    newest = rows[-1]
    devices = Counter(row["device"] or "cpu" for row in rows)
    return {
        "machine": machine(),
        "devices": dict(devices.most_common()),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "noise": newest["noise"],
        "n_train": newest["n_train"],
        "n_test": newest["n_test"],
        "n_epochs": newest["n_epochs"],
        "cells": cells,
    }


#: What methods are compared with, seed by seed: plain training, whatever a preset calls it.
BASELINES = ("ce", "no pretraining")
#: Seeds without which no interval over them is shown.
LEAST_SEEDS = 3
#: What two sweeps must share to stand in one table.
TERMS = ("noise", "n_train", "n_test", "n_epochs")


def merged(before: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """Keep the methods of an earlier sweep at the same terms that were not run anew."""
    if before is None or any(before[term] != found[term] for term in TERMS):
        return found
    if found["cells"] == before["cells"]:
        # Nothing was run since.
        return before
    left = {name: cells for name, cells in before["cells"].items() if name not in found["cells"]}
    if not left:
        return found
    since = before.get("since", before["at"])
    # The cells that are left were computed there.
    earlier = before.get("machine_before", before["machine"])
    return {**found, "since": since, "machine_before": earlier, "cells": {**found["cells"], **left}}


def against_baseline(rows: list[dict[str, Any]], all_rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare with the baseline on the same labels: mean difference and 95 % interval over seeds.

    A seed decides which labels are wrong, so the pairs share what differs most between seeds.
    """
    rate = rows[0]["error_rate"]
    base = {
        row["seed"]: row["last"]
        for row in all_rows
        if row["method"] in BASELINES and row["error_rate"] == rate
    }
    more = np.array([row["last"] - base[row["seed"]] for row in rows if row["seed"] in base])
    if rows[0]["method"] in BASELINES or len(more) < LEAST_SEEDS:
        return {}
    half = stats.t.ppf(0.975, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more))
    mean = float(more.mean())
    return {"more": mean, "more_low": mean - float(half), "more_high": mean + float(half)}


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Average what else is worth knowing of trials, where they have it."""
    found = {}
    for name in ("kept_precision", "memorised", "achiral_share"):
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            found[name] = sum(values) / len(values)
    controls = [row for row in rows if row["achiral_share"] is not None]
    if controls:
        near = [abs(row["achiral_share"] - 0.5) <= row["achiral_two_sd"] for row in controls]
        found["achiral_by_chance"] = sum(near)
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
    for preset, found in sorted(results.items()):
        rates = sorted({float(rate) for cells in found["cells"].values() for rate in cells})
        lines += [
            f"### {preset}",
            "",
            f"{found['noise']}, {found['n_train']:,} particles to train on, "
            f"{found['n_test']:,} to test on, {found['n_epochs']} epochs; {when(found)}, "
            f"{where(found)}.",
            "",
            "| method | " + " | ".join(f"{100 * rate:g} % wrong" for rate in rates) + " |",
            "| --- |" + " --- |" * len(rates),
        ]
        for method, cells in sorted(found["cells"].items(), key=baseline_then_best):
            said = [cell(cells.get(f"{rate:g}")) for rate in rates]
            lines.append(f"| {method} | " + " | ".join(said) + " |")
        lines += ["", *beyond(found, rates), *kept_labels(found, rates), *mirrors(found)]
    return "\n".join(lines).rstrip()


def baseline_then_best(item: tuple[str, dict[str, Any]]) -> tuple[bool, float]:
    """Order methods: what others are compared with first, then by accuracy over all error rates."""
    method, cells = item
    return method not in BASELINES, -float(np.mean([found["mean"] for found in cells.values()]))


def where(found: dict[str, Any]) -> str:
    """Say which machines computed how many of the trials."""
    here = f"{found['machine']['cores']} cores of {found['machine']['processor']}, no GPU"
    earlier = found.get("machine_before", found["machine"])["processor"]
    if earlier != found["machine"]["processor"]:
        here += f", and what is older on {earlier}"
    devices = found.get("devices", {"cpu": 0})
    if list(devices) == ["cpu"]:
        return here
    names = {name: here if name == "cpu" else f"{name}, bfloat16" for name in devices}
    return "; ".join(f"{n} trials on {names[name]}" for name, n in devices.items())


def beyond(found: dict[str, Any], rates: list[float]) -> list[str]:
    """Say in a line which methods are beyond chance better than the baseline, and where."""
    said = []
    for rate in rates:
        better = [
            (cells[f"{rate:g}"]["more"], name)
            for name, cells in found["cells"].items()
            if cells.get(f"{rate:g}", {}).get("more_low", 0) > 0
        ]
        if better:
            names = ", ".join(f"{name} +{100 * more:.1f}" for more, name in sorted(better)[::-1])
            said.append(f"at {100 * rate:g} % {names}")
    if not said:
        return []
    (baseline,) = found["cells"].keys() & BASELINES
    text = f"Better than `{baseline}` on the same labels, the 95 % interval above 0: "
    return [text + "; ".join(said) + ".", ""]


def kept_labels(found: dict[str, Any], rates: list[float]) -> list[str]:
    """Say of methods that choose labels how many of those kept at the end are right."""
    said = []
    for name, cells in sorted(found["cells"].items()):
        shares = [cells.get(f"{rate:g}", {}).get("kept_precision") for rate in rates]
        if any(shares):
            each = " / ".join("-" if share is None else f"{100 * share:.1f}" for share in shares)
            said.append(f"{name} {each}")
    if not said:
        return []
    return [f"Right among the labels that are kept in the end, in per cent: {'; '.join(said)}.", ""]


def mirrors(found: dict[str, Any]) -> list[str]:
    """Say whether anything but the particles' hand was seen."""
    cells = [cell for cells in found["cells"].values() for cell in cells.values()]
    gaps = [100 * cell["mirror_gap"] for cell in cells if "mirror_gap" in cell]
    if not gaps:
        return []
    text = (
        "Accuracy on true enantiomers minus on mirrored images of them, mean over seeds: "
        f"{min(gaps):+.1f} to {max(gaps):+.1f} points."
    )
    with_control = [cell for cell in cells if "achiral_by_chance" in cell]
    if with_control:
        near = sum(cell["achiral_by_chance"] for cell in with_control)
        text += (
            " Particles without a hand are told from their mirror images no better and no worse "
            f"than by chance, by two standard deviations, in {near} of "
            f"{sum(cell['seeds'] for cell in with_control)} trials."
        )
    return [text, ""]


def when(found: dict[str, Any]) -> str:
    return f"{found['since']} to {found['at']}" if "since" in found else str(found["at"])


def cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    text = f"{100 * found['mean']:.1f}"
    if found["seeds"] == 1:
        return f"{text} (1 seed)"
    if found["seeds"] < LEAST_SEEDS:
        # An interval over two seeds says nothing.
        return f"{text} ({found['seeds']} seeds; worst: {100 * found['worst']:.1f})"
    # Where seeds differ much, Student's interval reaches beyond what an accuracy can be.
    spread = f"{100 * max(0, found['low']):.1f} to {100 * min(1, found['high']):.1f}"
    return f"{text} ({spread}; worst of {found['seeds']}: {100 * found['worst']:.1f})"


if __name__ == "__main__":
    main()
