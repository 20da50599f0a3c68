"""What wrong labels cost where everything is allowed, beside the goals that were set for it."""

from typing import Any

#: Studies in which anything is allowed, their methods that carry farthest, and the study of the
#: same particles in which plain training says how hard these are.
ALLOWED = (
    ("handedness", "elr-balanced", "handedness"),
    ("handedness-mirror", "elr-balanced", "handedness"),
    ("handedness-hard-mirror", "elr-balanced", "handedness-hard"),
    ("handedness-hard-mirror", "divide-mix", "handedness-hard"),
    ("handedness-hard-mirror", "divide-mix, mixed gently", "handedness-hard"),
)
#: Points below the accuracy on right labels, by error rate; and the accuracy where more are wrong.
MOST_BELOW = {"0.2": 1.0, "0.3": 1.0, "0.4": 2.0}
LEAST = ("0.46", 85.0)


def cost_table(results: dict[str, Any]) -> str:
    """Write a row for each method and each accuracy on right labels that it may be held against."""
    rate, least = LEAST
    lines = [
        "| study | method | held against accuracy on right labels | "
        + " | ".join(f"{100 * float(r):g} % wrong" for r in MOST_BELOW)
        + f" | accuracy at {100 * float(rate):g} % |",
        "| --- | --- | --- |" + " --- |" * (len(MOST_BELOW) + 1),
        "| goal | | | "
        + " | ".join(f"{-most:+.1f} or better" for most in MOST_BELOW.values())
        + f" | {least:g} or better |",
    ]
    for preset, method, plain in ALLOWED:
        cells = results.get(preset, {"cells": {}})["cells"]
        if method not in cells:
            continue
        found, far = cells[method], cells[method][rate]
        for name, level in references(cells, method, results[plain]["cells"]).items():
            below = " | ".join(
                marked(100 * (found[r]["mean"] - level), -most, "+.2f")
                for r, most in MOST_BELOW.items()
            )
            accuracy = marked(100 * far["mean"], least, ".1f")
            lines.append(
                f"| {preset} | {method} | {name}: {100 * level:.1f} | {below} | "
                f"{accuracy}, worst of {far['seeds']}: {100 * far['worst']:.1f} |"
            )
    return "\n".join(lines)


def references(cells: dict[str, Any], method: str, plain: dict[str, Any]) -> dict[str, float]:
    """Name accuracies on right labels, 0 to 1: the method's own, plain training's, the best."""
    best = max((name for name in cells if "0" in cells[name]), key=lambda n: cells[n]["0"]["mean"])
    found = {"own": cells[method]["0"]["mean"]}
    if plain is not cells:
        found["plain network, `ce`"] = plain["ce"]["0"]["mean"]
    if best != method:
        found[f"best of the study, `{best}`"] = cells[best]["0"]["mean"]
    return found


def marked(value: float, least: float, form: str) -> str:
    """Write a value, in bold where it misses what was wanted."""
    text = f"{value:{form}}"
    return text if value >= least else f"**{text}**"
