"""What a sweep found, as figures: curves and histories in, matplotlib figures out.

Shares are 0 to 1 on the way in and percent on the page. Methods keep their order and their look
from figure to figure; the baseline is drawn in ink.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.evaluation.drawing import FAINT, NEUTRAL, finish
from pipelines.sweeps.intervals import Curve, History, curve_over_trials
from pipelines.sweeps.line_labels import line_styles, name_lines

Floats = NDArray[np.float64]
_WIDTH_IN = 7.2
_TITLE_IN = 0.8


def accuracy_figure(
    curves: Mapping[str, Curve],
    *,
    clean_accuracy: float | None = None,
    published: Curve | None = None,
    baseline: str = "ce",
    chance: float = 0.5,
    title: str = "",
) -> Figure:
    """Draw accuracy on true labels against the share of wrong ones, a line per method.

    Parameters
    ----------
    curves : mapping of str to Curve
        Per method, error rates and accuracies with 95 % intervals, 0 to 1.
    clean_accuracy : float, optional
        What the baseline reaches without wrong labels, 0 to 1.
    published : Curve, optional
        The best published accuracies; drawn as crosses.
    baseline : str
        The method that others are compared with.
    chance : float
        Accuracy of guessing, 0 to 1.
    title : str
        What was learnt, and from how much.

    Raises
    ------
    ValueError
        If there is no curve.
    """
    refuse_nothing(curves, "curves")
    height_in = max(4.2, _TITLE_IN + 0.17 * len(curves))
    figure, axes = _wide_figure(height_in)
    styles = line_styles(list(curves), baseline=baseline)
    for name, curve in curves.items():
        style = styles[name]
        _draw_band(axes, curve, style.colour, x_unit=100, alpha=_band_alpha(curves))
        axes.plot(
            100 * curve.x,
            100 * curve.values,
            linestyle=style.dashes,
            marker=style.marker,
            markersize=3.5,
            linewidth=1.4,
            color=style.colour,
            label=name,
            # The baseline stays visible behind none.
            zorder=3 if name == baseline else 2,
        )
    lowest = min(float(np.nanmin([curve.values, curve.low])) for curve in curves.values())
    # Far above chance, that line would press all others against the top.
    if lowest < chance + 0.5:
        axes.axhline(100 * chance, color=NEUTRAL, linewidth=0.9, linestyle=":", label="chance")
        axes.annotate("chance", (0.01, 100 * chance), **_beside(axes, 1))
        lowest = min(lowest, chance - 0.03)
    if clean_accuracy is not None:
        level = 100 * clean_accuracy
        axes.axhline(level, color=NEUTRAL, linewidth=0.9, linestyle="--", label="clean labels")
        text = f"{baseline}, clean labels: {level:.1f} %"
        axes.annotate(text, (0.99, level), **_beside(axes, -1))
    if published is not None:
        x, y = 100 * published.x, 100 * published.values
        axes.plot(x, y, "x", color=NEUTRAL, markersize=6, label="published, best")
    # A study of clean labels alone has a width too.
    last = max(1.0, *(100 * float(curve.x[-1]) for curve in curves.values()))
    axes.set_xlim(0, 1.02 * last)
    axes.set_ylim(100 * lowest - 2, 102)
    axes.set_xlabel("wrong labels in training (%)")
    axes.set_ylabel("accuracy on true labels (%)")
    axes.set_title(f"{title}; bands: 95 %".removeprefix("; "))
    if published is not None:
        crosses = axes.lines[-1]
        axes.legend(handles=[crosses], frameon=False, loc="lower left")
    name_lines(
        axes,
        {name: (100 * float(c.x[-1]), 100 * float(c.values[-1])) for name, c in curves.items()},
        styles,
        rank={name: float(np.mean(curve.values)) for name, curve in curves.items()},
        height_in=height_in - _TITLE_IN,
    )
    return finish(figure)


def kept_precision_figure(
    histories: Mapping[str, Sequence[History]], *, error_rate: float, baseline: str = "ce"
) -> Figure:
    """Draw how many of the samples that a method kept are labelled rightly, per epoch.

    Parameters
    ----------
    histories : mapping of str to sequence of sequence of mapping
        Per method the epochs of its trials, one per seed; rows with ``kept_precision``, 0 to 1.
        Methods that select nothing, and have none, are left out but keep the others' looks.
    error_rate : float
        Share of wrong labels, 0 to 1: without selection, precision is the rest.
    baseline : str
        As in the other figures.

    Raises
    ------
    ValueError
        If no method selects.
    """
    curves = {m: curve_over_trials(trials, "kept_precision") for m, trials in histories.items()}
    curves = {method: curve for method, curve in curves.items() if len(curve.x)}
    refuse_nothing(curves, "histories")
    height_in = max(3.4, _TITLE_IN + 0.17 * len(curves))
    figure, axes = _wide_figure(height_in)
    styles = line_styles(list(histories), baseline=baseline)
    for name, curve in curves.items():
        _draw_band(axes, curve, styles[name].colour, alpha=_band_alpha(curves))
        axes.plot(
            curve.x,
            100 * curve.values,
            linestyle=styles[name].dashes,
            marker=styles[name].marker,
            markevery=max(1, len(curve.x) // 8),
            markersize=3.5,
            linewidth=1.4,
            color=styles[name].colour,
            label=name,
        )
    axes.axhline(100 * (1 - error_rate), color=NEUTRAL, linewidth=0.9, linestyle="--", label="all")
    text = f"all samples: {100 * (1 - error_rate):.3g} %"
    axes.annotate(text, (0.99, 100 * (1 - error_rate)), **_beside(axes, -1))
    lowest = min(1 - error_rate, *(float(curve.low.min()) for curve in curves.values()))
    axes.set_ylim(100 * lowest - 4, 101)
    first = min(float(curve.x[0]) for curve in curves.values())
    axes.set_xlim(first, max(first + 1, *(float(curve.x[-1]) for curve in curves.values())))
    axes.locator_params(axis="x", integer=True, nbins=8)
    axes.set_xlabel("epoch")
    axes.set_ylabel("rightly labelled among kept (%)")
    axes.set_title(f"{100 * error_rate:.3g} % wrong labels; bands: all seeds")
    name_lines(
        axes,
        {name: (float(c.x[-1]), 100 * float(c.values[-1])) for name, c in curves.items()},
        styles,
        rank={name: float(np.mean(curve.values)) for name, curve in curves.items()},
        height_in=height_in - _TITLE_IN,
    )
    return finish(figure)


def mirror_gap_figure(gaps: Mapping[str, Curve], *, wanted: float = 0.01) -> Figure:
    """Draw how much better true opposite hands are recognised than mirrored images.

    A gap says that the classifier looks at more than the particle: mirroring an image mirrors
    shading and scan direction too.

    Parameters
    ----------
    gaps : mapping of str to Curve
        Per method, error rates and accuracy on true enantiomers minus accuracy on mirrored
        images with 95 % intervals, -1 to 1.
    wanted : float
        Largest gap that is wished for, either way; shaded.
    """
    refuse_nothing(gaps, "gaps")
    rates = sorted({float(rate) for curve in gaps.values() for rate in curve.x})
    row_in = max(0.28, 0.1 * len(rates) + 0.08)
    figure, axes = _wide_figure(1.3 + row_in * len(gaps))
    axes.axvspan(-100 * wanted, 100 * wanted, color=FAINT, alpha=0.5, linewidth=0, zorder=0)
    axes.axvline(0, color=NEUTRAL, linewidth=0.9, zorder=1)
    offsets = (np.arange(len(rates)) - (len(rates) - 1) / 2) * 0.8 / len(rates)
    for index, rate in enumerate(rates):
        style = list(line_styles([str(r) for r in rates]).values())[index]
        found = [(row, curve, curve.x == rate) for row, curve in enumerate(gaps.values())]
        rows = np.array([row for row, _, at in found if at.any()])
        values, low, high = (
            100 * np.array([getattr(curve, part)[at][0] for _, curve, at in found if at.any()])
            for part in ("values", "low", "high")
        )
        axes.errorbar(
            values,
            rows + offsets[index],
            xerr=np.nan_to_num([values - low, high - values]),
            fmt=style.marker,
            markersize=3.5,
            linewidth=1,
            color=style.colour,
            label=f"{100 * rate:.3g} %",
        )
    axes.set_yticks(range(len(gaps)), list(gaps))
    axes.set_ylim(len(gaps) - 0.45, -0.55)
    reach = 1.1 * max(abs(end) for end in (*axes.get_xlim(), 100 * wanted))
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("accuracy on true enantiomers minus on mirrored images (points, 95 %)")
    axes.set_title(f"shaded: within {100 * wanted:.3g} point of each other")
    figure.legend(
        loc="outside lower center",
        ncols=min(len(rates), 8),
        frameon=False,
        fontsize=8,
        title="wrong labels in training",
        title_fontsize=8,
    )
    return finish(figure)


def _draw_band(axes: Axes, curve: Curve, colour: str, *, alpha: float, x_unit: float = 1) -> None:
    axes.fill_between(
        x_unit * curve.x, 100 * curve.low, 100 * curve.high, color=colour, alpha=alpha, linewidth=0
    )


def _band_alpha(curves: Mapping[str, Curve]) -> float:
    # Many bands on top of each other must not hide the lines.
    return 0.15 if len(curves) <= 6 else 0.07


def _wide_figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    return figure, figure.add_subplot()


def _beside(axes: Axes, side: int) -> dict[str, Any]:
    """Return how a name stands on a line across the axes: from its left end, or to its right."""
    return {
        "xycoords": axes.get_yaxis_transform(),
        "xytext": (0, 2),
        "textcoords": "offset points",
        "fontsize": 8,
        "color": NEUTRAL,
        "ha": "left" if side > 0 else "right",
        "va": "bottom",
    }


def refuse_nothing(values: Mapping[str, object], name: str) -> None:
    """Raise ValueError if there is nothing to draw."""
    if not values:
        raise ValueError(f"{name} must hold something to draw, got none")
