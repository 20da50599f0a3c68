"""Names beside the ends of lines, pushed apart: for more methods than a legend can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from pipelines.evaluation.drawing import INK, SERIES

Floats = NDArray[np.float64]
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D")
#: Height of a name, with the space to the next, in inches.
_NAME_IN = 0.155


@dataclass(frozen=True)
class LineStyle:
    """How a method is drawn, in every figure the same."""

    colour: str
    dashes: str
    marker: str


def line_styles(methods: Sequence[str], *, baseline: str = "ce") -> dict[str, LineStyle]:
    """Give every method a colour, and dashes and a marker where colours begin again.

    Parameters
    ----------
    methods : sequence of str
        Names, in the same order for all figures.
    baseline : str
        The method that others are compared with, drawn in ink.

    Examples
    --------
    >>> line_styles(["ce", "elr"])["elr"]
    LineStyle(colour='#2a86d1', dashes='-', marker='o')
    """
    styles = {}
    for index, name in enumerate(name for name in methods if name != baseline):
        turn = index // len(SERIES) % len(_DASHES)
        styles[name] = LineStyle(SERIES[index % len(SERIES)], _DASHES[turn], _MARKERS[turn])
    baseline_style = {baseline: LineStyle(INK, "-", "o")} if baseline in methods else {}
    return {name: (baseline_style | styles)[name] for name in methods}


def spread(places: Floats, *, gap: float, low: float, high: float) -> Floats:
    """Move places apart as little as possible, in the least squares, keeping their order.

    Parameters
    ----------
    places : (N,) ndarray
        In rising order of the wanted result; they themselves need not rise.
    gap : float
        Least distance between neighbours.
    low, high : float
        Where results may lie; if there is too little room they go beyond ``low``.

    Examples
    --------
    >>> spread(np.array([0.0, 0.0, 5.0]), gap=1.0, low=-9.0, high=9.0).tolist()
    [-0.5, 0.5, 5.0]
    """
    if places.size == 0:
        return places
    steps = gap * np.arange(places.size)
    moved = np.asarray(isotonic_regression(places - steps).x) + steps
    moved = np.maximum(moved, low + steps)
    return np.asarray(np.minimum(moved, high - steps[::-1]))


def name_lines(
    axes: Axes,
    ends: Mapping[str, tuple[float, float]],
    styles: Mapping[str, LineStyle],
    *,
    rank: Mapping[str, float],
    height_in: float,
) -> None:
    """Write names to the right of the axes, each with a piece of its line and tied to its end.

    Parameters
    ----------
    axes : Axes
        With limits that are set, and so stay.
    ends : mapping of str to (float, float)
        Where each line ends, (x, y) in data.
    styles : mapping of str to LineStyle
        How the lines are drawn.
    rank : mapping of str to float
        Which of several lines with nearly the same end comes higher.
    height_in : float
        Height of the axes, in inches, about.
    """
    bottom, top = axes.get_ylim()
    gap = (top - bottom) * _NAME_IN / height_in
    order = _rising(ends, rank, gap)
    places = spread(
        np.array([ends[name][1] for name in order]), gap=gap, low=bottom + gap / 2, high=top
    )
    beside = axes.get_yaxis_transform()
    for name, place in zip(order, places, strict=True):
        style = styles[name]
        axes.annotate(
            "",
            xy=ends[name],
            xytext=(1.05, place),
            textcoords=beside,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": style.colour,
                "linewidth": 0.5,
                "shrinkA": 0,
                "shrinkB": 3,
            },
        )
        axes.plot(
            [1.05, 1.075, 1.1],
            [place] * 3,
            transform=beside,
            clip_on=False,
            linestyle=style.dashes,
            linewidth=1.4,
            color=style.colour,
            marker=style.marker,
            markersize=3.5,
            markevery=[1],
            label="_piece of a line",
        )
        axes.text(1.115, place, name, transform=beside, va="center", size=8, color=style.colour)


def _rising(
    ends: Mapping[str, tuple[float, float]], rank: Mapping[str, float], gap: float
) -> list[str]:
    """Order names by the height of their ends; by rank where these run together."""
    by_height = sorted(ends, key=lambda name: ends[name][1])
    groups: list[list[str]] = []
    for name in by_height:
        if groups and ends[name][1] - ends[groups[-1][-1]][1] < gap / 2:
            groups[-1].append(name)
        else:
            groups.append([name])
    return [name for group in groups for name in sorted(group, key=lambda name: rank[name])]
