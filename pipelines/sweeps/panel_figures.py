"""What a sweep found, method by method: a small panel each, all on the same axes.

Shares are 0 to 1 on the way in and percent on the page.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.evaluation.drawing import INK, NEUTRAL, SERIES, finish
from pipelines.evaluation.population import corrected_ratio
from pipelines.sweeps.figures import refuse_nothing
from pipelines.sweeps.intervals import History, curve_over_trials

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recalls:
    """How often particles of either hand are recognised, 0 to 1, and among how many."""

    left: float
    right: float
    n_left: int
    n_right: int


def memorisation_figure(histories: Mapping[str, Sequence[History]], *, error_rate: float) -> Figure:
    """Draw what becomes of wrongly labelled training samples, a panel per method.

    Parameters
    ----------
    histories : mapping of str to sequence of sequence of mapping
        Per method the epochs of its trials, one per seed: rows with
        ``wrong_labels_seen_through`` (predicted as what they truly are) and
        ``wrong_labels_memorised`` (predicted as what they were given as), shares 0 to 1.
    error_rate : float
        Share of wrong labels, 0 to 1, for the title.

    Raises
    ------
    ValueError
        If no method recorded either.
    """
    names = {
        "wrong_labels_seen_through": ("seen through", SERIES[0], "-"),
        "wrong_labels_memorised": ("memorised", SERIES[1], "--"),
    }
    drawn = {
        method: {column: curve_over_trials(trials, column) for column in names}
        for method, trials in histories.items()
    }
    drawn = {m: curves for m, curves in drawn.items() if any(len(c.x) for c in curves.values())}
    refuse_nothing(drawn, "histories")
    figure, panels = _small_panels(list(drawn), "epoch", "share of them (%)")
    for axes, curves in zip(panels, drawn.values(), strict=True):
        for column, (label, colour, dashes) in names.items():
            curve = curves[column]
            axes.fill_between(
                curve.x, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.15, linewidth=0
            )
            axes.plot(
                curve.x,
                100 * curve.values,
                linestyle=dashes,
                color=colour,
                label=label,
                marker="o" if len(curve.x) == 1 else None,
                markersize=3,
            )
        axes.set_ylim(-3, 103)
        axes.locator_params(axis="x", integer=True, nbins=5)
    figure.suptitle(
        f"wrongly labelled training samples, {100 * error_rate:.3g} % of all", fontsize=10
    )
    _explain(figure, panels[0])
    return finish(figure)


def population_figure(
    measured: Mapping[str, Recalls],
    *,
    calibration: Mapping[str, Recalls] | None = None,
    title: str = "",
) -> Figure:
    """Draw the share of left particles that a classifier finds against the true share.

    Parameters
    ----------
    measured : mapping of str to Recalls
        Per method, how it does on the population: the raw share is
        ``f * left + (1 - f) * (1 - right)`` for a true share f.
    calibration : mapping of str to Recalls, optional
        What its correction knows about it. Without, recalls of the population itself: the
        corrected line is then right by construction, and its 95 % band, from the finite
        numbers of particles, is what there is to see.
    title : str
        What was learnt, and from how much.
    """
    refuse_nothing(measured, "measured")
    known = measured if calibration is None else calibration
    figure, panels = _small_panels(
        list(measured), "true share of left (%)", "measured share of left (%)"
    )
    truth = np.linspace(0, 1, 21)
    for axes, (method, recalls) in zip(panels, measured.items(), strict=True):
        axes.set_aspect("equal")
        axes.plot([0, 100], [0, 100], color=NEUTRAL, linewidth=0.9, linestyle=":", label="truth")
        raw = truth * recalls.left + (1 - truth) * (1 - recalls.right)
        corrected, reach = correction(raw, known[method])
        if np.isnan(corrected).all():
            axes.text(97, 4, "no better than chance", ha="right", size=7, color=INK)
        low, high = np.clip([corrected - reach, corrected + reach], 0, 1)
        axes.fill_between(100 * truth, 100 * low, 100 * high, color=SERIES[1], alpha=0.2, lw=0)
        axes.plot(100 * truth, 100 * corrected, "--", color=SERIES[1], label="corrected, 95 %")
        axes.plot(100 * truth, 100 * raw, color=SERIES[0], label="raw")
        axes.set(xlim=(0, 100), ylim=(0, 100))
    figure.suptitle(title, fontsize=10)
    _explain(figure, panels[0])
    return finish(figure)


def correction(raw: Floats, recalls: Recalls) -> tuple[Floats, Floats]:
    """Correct measured shares by recalls, and say how far off 95 % of corrections are.

    Parameters
    ----------
    raw : (M,) ndarray
        Measured shares of left, 0 to 1.
    recalls : Recalls
        Of the particles that the correction was learnt from.

    Returns
    -------
    corrected, reach : (M,) ndarray
        0 to 1, and half the width of the interval, by propagating the binomial errors of both
        recalls; nan where the classifier is no better than chance.
    """
    false_left = 1 - recalls.right
    gain = recalls.left - false_left
    corrected = np.array(
        [corrected_ratio(q, true_positive=recalls.left, false_positive=false_left) for q in raw]
    )
    left_error = recalls.left * (1 - recalls.left) / recalls.n_left
    right_error = recalls.right * (1 - recalls.right) / recalls.n_right
    spread = np.sqrt(corrected**2 * left_error + (1 - corrected) ** 2 * right_error)
    return corrected, 1.96 * spread / (gain if gain > 0 else math.nan)


def _small_panels(names: Sequence[str], x: str, y: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel per name, and these panels."""
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    width_in = max(3.4, (1.8 if columns > 2 else 2.4) * columns)
    height_in = min(2.4, width_in / columns) * rows + 0.95
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        axes.set_title(name)
    for axes in grid[len(names) :]:
        axes.remove()
    for axes in grid[max(0, len(names) - columns) : len(names)]:
        # The lowest of their columns, which need not be of the last row.
        axes.set_xlabel(x)
        axes.tick_params(labelbottom=True)
    figure.supylabel(y, fontsize=9)
    return figure, list(grid[: len(names)])


def _explain(figure: Figure, first: Axes) -> None:
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
