"""Figures of how well rare defects are found: curves, the gap between splits, images one by one."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.evaluation.anomaly import Curve
from pipelines.evaluation.drawing import FAINT, INK, NEUTRAL, SERIES, WIDTH_IN, finish

Floats = NDArray[np.float64]
_DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)))


def curves(found: Mapping[str, Curve], *, prevalence: float) -> Figure:
    """Draw precision over recall, and recall over false positives on a logarithmic axis.

    Parameters
    ----------
    found : mapping of str to Curve
        By detector, the best first.
    prevalence : float
        Share of defects: what the precision of guessing is.
    """
    figure = Figure(figsize=(1.5 * WIDTH_IN, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, curve) in enumerate(found.items()):
        style = {
            "color": SERIES[i % len(SERIES)],
            "linestyle": _DASHES[i // len(SERIES) % len(_DASHES)],
            "linewidth": 1.4,
        }
        left.step(curve.recall, curve.precision, where="post", label=name, **style)
        right.step(curve.false_positive_rate, curve.recall, where="post", **style)
    left.axhline(prevalence, color=NEUTRAL, linewidth=0.8, linestyle="dotted")
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    right.axvline(0.01, color=NEUTRAL, linewidth=0.8, linestyle="dotted")
    right.set(xlabel="false positive rate", ylabel="recall", ylim=(0, 1.02))
    right.set_xscale("log")
    lowest = min(c.false_positive_rate[c.false_positive_rate > 0].min() for c in found.values())
    right.set_xlim(lowest / 1.5, 1)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8
    )
    return finish(figure)


def split_gap(
    names: Sequence[str],
    unseen: Sequence[tuple[float, float, float]],
    flattered: Sequence[float],
    *,
    prevalence: float,
) -> Figure:
    """Draw what a random split claims beside what unseen images show.

    Parameters
    ----------
    names : sequence of str
        Detectors.
    unseen : sequence of (value, low, high)
        Area under precision over recall on unseen images, with its interval.
    flattered : sequence of float
        The same on a random split of patches.
    prevalence : float
        What guessing reaches.
    """
    figure = Figure(figsize=(WIDTH_IN, 0.8 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))[::-1]
    for row, (value, low, high), claimed in zip(rows, unseen, flattered, strict=True):
        axes.plot([value, claimed], [row, row], color=FAINT, linewidth=2, zorder=1)
        if np.isfinite(low):
            axes.plot([low, high], [row, row], color=SERIES[0], linewidth=1, zorder=2)
    values = [value for value, *_ in unseen]
    axes.scatter(values, rows, color=SERIES[0], s=30, zorder=3, label="unseen images")
    axes.scatter(
        flattered, rows, facecolors="none", edgecolors=SERIES[1], s=36, zorder=3,
        label="random split of patches",
    )  # fmt: skip
    axes.axvline(prevalence, color=NEUTRAL, linewidth=0.8, linestyle="dotted", label="guessing")
    axes.set_yticks(rows, names)
    axes.set(xlim=(0, 1.02), xlabel="area under precision over recall")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False,
        fontsize=8,
    )  # fmt: skip
    return finish(figure)


def image_scores(
    names: Sequence[str],
    scores: Sequence[Floats],
    is_defect: Sequence[NDArray[np.bool_]],
    *,
    threshold: float | None = None,
) -> Figure:
    """Draw the scores of every image's patches: normal ones as ticks, defects as dots."""
    figure = Figure(figsize=(WIDTH_IN, min(1.0 + 0.2 * len(names), 12)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))[::-1]
    for row, values, bad in zip(rows, scores, is_defect, strict=True):
        normal = values[~bad]
        axes.scatter(normal, np.full(len(normal), row), marker="|", color=NEUTRAL, s=24, lw=0.6)
        axes.scatter(values[bad], np.full(int(bad.sum()), row), color=SERIES[1], s=16, zorder=3)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle="dotted")
    axes.set_yticks(rows, names)
    axes.set(xlabel="score of a patch", ylim=(-0.8, len(names) - 0.2))
    return finish(figure)
