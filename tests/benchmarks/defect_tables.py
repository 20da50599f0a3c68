"""Tables of defects, from what `bench_defects` measured."""

from typing import Any

from tests.benchmarks.defect_images import KINDS

#: Detectors in the order of the tables.
UNTRAINED = ("lattice", "fourier", "blur-maximum")
TRAINED = ("patch-core", "padim", "pseudo-defects")
REPAIRED = ("one-class-svm", "isolation-forest", "dense-net", "autoencoder")
PUBLISHED = (
    "one-class-svm-published",
    "isolation-forest-published",
    "dense-net-published",
    "autoencoder-published",
)
DETECTORS = (*UNTRAINED, *TRAINED, *REPAIRED, *PUBLISHED)


def by_dose(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Gather what was measured at each dose, the lowest first."""
    doses: dict[float, dict[str, Any]] = {}
    for name, result in results.items():
        if name.startswith("snr-"):
            found = result["found"]
            dose = doses.setdefault(found["snr"], {"snr": found["snr"], "methods": {}})
            dose["prevalence"] = found["prevalence"]
            dose["methods"] |= found["methods"]
    return [doses[snr] for snr in sorted(doses)]


def recall_table(doses: list[dict[str, Any]], detectors: tuple[str, ...]) -> list[str]:
    """Write recalls of detectors, a row for each and each kind of defect."""
    rows = {
        f"{detector} | {kind}": [recall_cell(row, kind) for row in found]
        for detector, found in measured(doses, detectors).items()
        for kind in KINDS
    }
    return [
        "Recall in per cent at 1 % false positives; in brackets 95 % intervals over images, or "
        "numbers where there is no spread.",
        "",
        *dose_table(doses, "detector | defect", rows),
    ]


def area_table(doses: list[dict[str, Any]], detectors: tuple[str, ...]) -> list[str]:
    """Write areas under precision over recall, a row for each detector."""
    rows = {
        detector: [cell(row and row["pr_auc"]["structural"], 1) for row in found]
        for detector, found in measured(doses, detectors).items()
    }
    return [
        "Area under precision over recall, vacancies, divacancies and Stone-Wales together; "
        f"{100 * doses[0]['prevalence']:.1f} % of patches hold a defect.",
        "",
        *dose_table(doses, "detector", rows),
    ]


def measured(
    doses: list[dict[str, Any]], detectors: tuple[str, ...]
) -> dict[str, list[dict[str, Any] | None]]:
    """Gather what was found at each dose by the detectors that were run at any."""
    found = {name: [dose["methods"].get(name) for dose in doses] for name in detectors}
    return {name: each for name, each in found.items() if any(each)}


def dose_table(doses: list[dict[str, Any]], head: str, rows: dict[str, list[str]]) -> list[str]:
    """Draw a table with a column for each dose."""
    return [
        f"| {head} | " + " | ".join(f"SNR {dose['snr']:g}" for dose in doses) + " |",
        "|" + " --- |" * (len(doses) + len(head.split(" | "))),
        *(f"| {name} | " + " | ".join(said) + " |" for name, said in rows.items()),
    ]


def tables(results: dict[str, Any]) -> str:
    """Write all tables."""
    lines: list[str] = []
    if doses := by_dose(results):
        lines += recall_table(doses, DETECTORS)
        lines += ["", *area_table(doses, DETECTORS)]
    if "published" in results:
        lines += [
            "",
            "The published setting again, on simulated images: ten, each of its own brightness, "
            "all defects in three of them, patches that overlap. Areas (ROC, PR) by a random split "
            "of patches and on unseen images, and what the report leads with:",
            "",
            *(f"- {leak}" for leak in results["published"]["found"]["leaks"]),
            "",
            "| detector | ROC random | ROC unseen | PR random | PR unseen |",
            "| --- | --- | --- | --- | --- |",
        ]
        for method, areas in results["published"]["found"]["methods"].items():
            values = [areas[s][a] for a in ("roc", "pr") for s in ("random", "unseen")]
            lines.append(f"| {method} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    newest = max(results.values(), key=lambda found: found["at"])
    facts = newest["machine"]
    lines += [
        "",
        f"{newest['at']}, {facts['cores']} cores of {facts['processor']}, no GPU.",
    ]
    return "\n".join(lines)


def recall_cell(row: dict[str, Any] | None, kind: str) -> str:
    """Write a recall; where drawing images anew cannot change it, how many of how many it is."""
    found = (row or {}).get("recall", {}).get(kind)
    if found and found["low"] == found["high"]:
        n = row["n"][kind]
        return f"{100 * found['value']:.0f} ({round(n * found['value'])} of {n})"
    return cell(found)


def cell(found: dict[str, float] | None, factor: float = 100) -> str:
    if not found:
        return "-"
    form = ".0f" if factor == 100 else ".3f"
    value, low, high = (f"{factor * found[key]:{form}}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
