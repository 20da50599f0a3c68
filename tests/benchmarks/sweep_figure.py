"""A figure of how far methods carry, from the summary of sweeps that `sweep_tables` keeps."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluation.drawing import FAINT, INK, NEUTRAL, SERIES, finish
from services.report.sweep import PUBLISHED

PICTURE = Path(__file__).parents[2] / ".assets" / "wrong-labels.png"
#: Presets that are drawn, a panel each, and what their panel says.
PANELS = {
    "handedness": "plain network, clear particles",
    "handedness-hard": "plain network, hard particles",
    "handedness-hard-mirror": "mirror built in, hard particles",
}
#: Methods that are told apart; all others are drawn in one faint colour.
COLOURS = {
    "ce": INK,
    "two-step": SERIES[4],
    "co-teaching": SERIES[3],
    "divide-mix": SERIES[1],
    "divide-mix, mixed gently": SERIES[2],
    "elr-balanced": SERIES[0],
}


def draw(results: dict[str, Any], path: Path = PICTURE) -> None:
    """Draw accuracies over error rates, with 95 % intervals over seeds."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (preset, title) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, results[preset]["cells"])
        axes.set(title=title, xlabel="wrong labels in training (%)")
    panels[0].set(ylabel="accuracy on true labels (%)", ylim=(45, 101))
    x, y = list(PUBLISHED), list(PUBLISHED.values())
    panels[0].plot(x, y, "x", color=NEUTRAL, label="published, best")
    handles = {line.get_label(): line for axes in panels for line in axes.lines}
    names = [name for name in (*COLOURS, "other methods", "published, best") if name in handles]
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside lower center",
        ncols=len(names),
        fontsize=8,
        frameon=False,
    )
    finish(figure).savefig(path, dpi=110)


def draw_panel(axes: Axes, cells: dict[str, dict[str, Any]]) -> None:
    axes.axhline(50, color=NEUTRAL, linewidth=0.9, linestyle=":", label="chance")
    # Those that are told apart come last, on top of the others.
    for method in sorted(cells, key=lambda name: name in COLOURS):
        found = {float(rate): cell for rate, cell in sorted(cells[method].items())}
        x = [100 * rate for rate in found]
        colour = COLOURS.get(method, FAINT)
        label = method if method in COLOURS else "other methods"
        means = [100 * cell["mean"] for cell in found.values()]
        axes.plot(x, means, "o-", ms=3, color=colour, label=label)
        if method in COLOURS:
            # One seed has no interval.
            low, high = (
                [
                    100 * (cell["mean"] if cell[end] is None else cell[end])
                    for cell in found.values()
                ]
                for end in ("low", "high")
            )
            axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
