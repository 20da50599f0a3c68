"""Results as figures: numbers in, matplotlib figures out; nothing is read, saved or shown.

Figures stand on their own canvases, never on pyplot's global state. Everything that is not data
is drawn in the inks of `pipelines.evaluation.drawing`, so that a page can show them dark.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.stats import binom

from pipelines.evaluation.classification import expected_calibration_error
from pipelines.evaluation.drawing import (
    INK,
    NEUTRAL,
    SERIES,
    WIDTH_IN,
    class_colours,
    finish,
    new_figure,
)
from pipelines.evaluation.population import wilson_interval

Floats = NDArray[np.float64]
_MAIN = SERIES[0]


def size_distribution(
    diameters: Mapping[str, Floats], *, unit: Literal["nm", "px"], n_bins: int | None = None
) -> Figure:
    """Draw the histogram of particle diameters, classes stacked, with the median's interval.

    Parameters
    ----------
    diameters : mapping of str to (N,) ndarray
        Equivalent diameters per class; one entry, of any name, where there are no classes.
    unit : {"nm", "px"}
        Unit of all of them.
    n_bins : int, optional
        Bars; by the rule of Freedman and Diaconis if not given, at most 60.
    """
    figure, axes = new_figure(3.3)
    together = np.concatenate(list(diameters.values()))
    edges = np.histogram_bin_edges(together, bins="fd" if n_bins is None else n_bins)
    if n_bins is None and not 12 <= len(edges) <= 60:
        edges = np.histogram_bin_edges(together, bins=min(60, max(12, len(edges))))
    colours = class_colours(diameters) if len(diameters) > 1 else {next(iter(diameters)): _MAIN}
    below = np.zeros(len(edges) - 1)
    for name, values in diameters.items():
        counts = np.histogram(values, edges)[0]
        axes.bar(
            edges[:-1],
            counts,
            np.diff(edges),
            bottom=below,
            align="edge",
            color=colours[name],
            edgecolor="none",
            label=name,
        )
        below = below + counts
    axes.set_ylim(top=1.08 * max(1.0, below.max()))
    median, low, high = median_interval(together)
    axes.axvspan(low, high, color=INK, alpha=0.15, linewidth=0)
    axes.axvline(median, color=INK, linewidth=1.2, linestyle="--")
    axes.set_xlabel(f"equivalent diameter ({unit})")
    axes.set_ylabel("particles")
    axes.set_title(
        f"median {median:.3g} {unit} (95 % {low:.3g} to {high:.3g}), n = {together.size}"
    )
    if len(diameters) > 1:
        axes.legend(frameon=False)
    return finish(figure)


def median_interval(values: Floats, *, level: float = 0.95) -> tuple[float, float, float]:
    """Return the median and its interval from order statistics, without any assumption.

    Examples
    --------
    >>> median_interval(np.arange(1.0, 101.0))
    (50.5, 40.0, 61.0)
    """
    ordered = np.sort(values)
    n = ordered.size
    below = int(binom.ppf((1 - level) / 2, n, 0.5))
    return (
        float(np.median(ordered)),
        float(ordered[max(below - 1, 0)]),
        float(ordered[min(n - below, n - 1)]),
    )


def training_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what was recorded per epoch: losses, accuracies, and memorisation of wrong labels.

    Parameters
    ----------
    history : sequence of mapping
        A row per epoch; those without ``epoch`` are counted from 1. Columns with ``loss`` in
        their name, with ``accuracy``, and with ``wrong`` (shares of the wrongly labelled
        particles) get a panel each; others none.

    Raises
    ------
    ValueError
        If no column can be drawn.
    """
    panels = curve_panels(history)
    if not panels:
        raise ValueError(
            f"history has no loss, accuracy or wrong-label share in {len(history)} rows"
        )
    figure = Figure(figsize=(max(WIDTH_IN, 3.7 * len(panels)), 3.2), layout="constrained")
    for place, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for index, name in enumerate(names):
            points = [
                (row.get("epoch", number), row[name])
                for number, row in enumerate(history, start=1)
                if row.get(name) is not None
            ]
            axes.plot(
                *np.transpose(points),
                # Line styles as well: curves must stay apart without their colours.
                linestyle=("-", "--", "-.", ":")[index % 4],
                marker="o" if len(points) < 30 else None,
                markersize=3,
                color=SERIES[index % len(SERIES)],
                label=name.removeprefix("wrong_labels_").replace("_", " "),
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        if title != "loss":
            axes.set_ylim(-0.02, 1.02)
        axes.locator_params(axis="x", integer=True, nbins=8)
        axes.legend(frameon=False)
    return finish(figure)


def curve_panels(history: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Sort the columns of a training history into panels; empty panels are left out."""
    columns = list(dict.fromkeys(name for row in history for name in row if row[name] is not None))
    wrong = [name for name in columns if "wrong" in name or "memor" in name]
    rest = [name for name in columns if name not in wrong]
    panels = {
        "loss": [name for name in rest if "loss" in name],
        "accuracy": [name for name in rest if "accuracy" in name],
        "share of wrong labels": wrong,
    }
    return {title: names for title, names in panels.items() if names}


def confusion(matrix: NDArray[Any], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix: counts, shares of each true class, and their intervals.

    Parameters
    ----------
    matrix : (K, K) ndarray of int
        Counts, ``[true, predicted]``.
    classes : sequence of str
        K names.
    """
    n_classes = len(classes)
    if matrix.shape != (n_classes, n_classes):
        raise ValueError(f"matrix must have shape ({n_classes}, {n_classes}), got {matrix.shape}")
    edge = max(3.4, 0.95 * n_classes + 1.2)
    figure = Figure(figsize=(edge + 0.4, edge), layout="constrained")
    axes = figure.add_subplot()
    for true in range(n_classes):
        total = int(matrix[true].sum())
        for predicted in range(n_classes):
            count = int(matrix[true, predicted])
            share = count / total if total else 0.0
            axes.add_patch(
                Rectangle((predicted, true), 1, 1, facecolor=_MAIN, alpha=share, linewidth=0)
            )
            low, high = wilson_interval(count, total)
            text = (
                f"{count}\n{100 * share:.1f} %\n({100 * low:.1f} to {100 * high:.1f})"
                if total
                else "0"
            )
            colour = "white" if share > 0.6 else INK
            axes.text(
                predicted + 0.5, true + 0.5, text, ha="center", va="center", color=colour, size=8
            )
    axes.set(xlim=(0, n_classes), ylim=(n_classes, 0), aspect="equal")
    axes.set_xticks(np.arange(n_classes) + 0.5, classes)
    axes.set_yticks(np.arange(n_classes) + 0.5, classes, rotation=90, va="center")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"n = {int(matrix.sum())} particles; shares of each true class, 95 %")
    return finish(figure)


def reliability(pred_probs: Floats, true_labels: NDArray[Any], *, n_bins: int = 10) -> Figure:
    """Draw how often predictions of a confidence are right, against that confidence.

    Parameters
    ----------
    pred_probs : (N, K) ndarray
        Probabilities, rows sum to 1.
    true_labels : (N,) ndarray of int
        Class indices.
    n_bins : int
        Bins between the least confidence there can be, 1 / K, and 1.
    """
    confidence = pred_probs.max(axis=1)
    right = pred_probs.argmax(axis=1) == true_labels
    least = 1 / pred_probs.shape[1]
    edges = np.linspace(least, 1, n_bins + 1)
    bins = np.clip(np.digitize(confidence, edges) - 1, 0, n_bins - 1)
    figure = Figure(figsize=(WIDTH_IN - 0.8, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([least, 1], [least, 1], color=NEUTRAL, linestyle="--", label="perfectly calibrated")
    occupied = [index for index in range(n_bins) if (bins == index).any()]
    means = np.array([confidence[bins == index].mean() for index in occupied])
    shares = np.array([right[bins == index].mean() for index in occupied])
    spans = np.array(
        [wilson_interval(int(right[bins == i].sum()), int((bins == i).sum())) for i in occupied]
    )
    reach = np.abs(spans.T - shares)
    upper.errorbar(means, shares, reach, fmt="o", color=_MAIN, capsize=2, label="seen, 95 %")
    upper.set_ylabel("share right")
    upper.set_ylim(top=1.03)
    upper.legend(frameon=False, loc="lower right")
    error = expected_calibration_error(pred_probs, true_labels)
    upper.set_title(f"calibration error {error:.3f}, n = {right.size}")
    lower.hist(confidence, bins=list(edges), color=_MAIN)
    lower.set_xlabel("confidence of the prediction")
    lower.set_ylabel("particles")
    return finish(figure)


def population_ratio(
    estimates: Mapping[str, tuple[float, float, float]], *, of: str, truth: float | None = None
) -> Figure:
    """Draw estimates of a class's share with their intervals, one below the other.

    Parameters
    ----------
    estimates : mapping of str to (float, float, float)
        Share and ends of its 95 % interval, 0 to 1, by how it was estimated.
    of : str
        The class, and among what: the axis is labelled "share of <of>".
    truth : float, optional
        The true share.
    """
    figure, axes = new_figure(0.95 + 0.3 * len(estimates))
    for row, (share, low, high) in enumerate(estimates.values()):
        reach = [[share - low], [high - share]]
        axes.errorbar(share, row, xerr=reach, fmt="o", color=_MAIN, capsize=3, markersize=5)
    if truth is not None:
        axes.axvline(truth, color=NEUTRAL, linestyle="--", zorder=0)
        axes.set_title(f"dashed: the truth, {100 * truth:.1f} %")
    rows = range(len(estimates))
    axes.set_yticks(rows, list(estimates))
    axes.set_ylim(len(estimates) - 0.4, -0.6)
    # The numbers stand at the right, where no point or line crosses them.
    numbers = axes.secondary_yaxis("right")
    shown = [
        f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        for share, low, high in estimates.values()
    ]
    numbers.set_yticks(rows, shown)
    numbers.tick_params(length=0, labelsize=8, colors=INK)
    numbers.spines["right"].set_visible(False)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(f"share of {of}, with 95 % interval")
    return finish(figure)
