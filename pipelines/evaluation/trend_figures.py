"""How a population changes from night to night, and how models compare, as figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from pipelines.evaluation.drawing import NEUTRAL, SERIES, WIDTH_IN, finish, new_figure

_USUAL, _FLAGGED = SERIES[0], SERIES[1]
#: Nights whose names are written below the axis, at most.
_NAMES_N = 8


@dataclass(frozen=True)
class TrendPoint:
    """A night's value of a measure with the ends of its bar, and whether it has drifted."""

    night: str
    low: float
    middle: float
    high: float
    is_flagged: bool = False


def trends(measures: Mapping[str, Sequence[TrendPoint]]) -> Figure:
    """Draw measures over nights, one below the other; nights that have drifted stand out.

    Parameters
    ----------
    measures : mapping of str to sequence of TrendPoint
        Points of every measure, oldest first; at least one measure.
    """
    figure = Figure(figsize=(WIDTH_IN, 0.7 + 1.25 * len(measures)), layout="constrained")
    nights = list(dict.fromkeys(p.night for points in measures.values() for p in points))
    place = {night: number for number, night in enumerate(nights)}
    all_axes = figure.subplots(len(measures), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (measure, points) in zip(all_axes, measures.items(), strict=True):
        axes.plot(
            [place[p.night] for p in points],
            [p.middle for p in points],
            color=NEUTRAL,
            linewidth=0.8,
            zorder=1,
        )
        for flagged, colour, marker in ((False, _USUAL, "o"), (True, _FLAGGED, "D")):
            chosen = [p for p in points if p.is_flagged == flagged]
            axes.errorbar(
                [place[p.night] for p in chosen],
                [p.middle for p in chosen],
                yerr=[[p.middle - p.low for p in chosen], [p.high - p.middle for p in chosen]],
                fmt=marker,
                color=colour,
                markersize=5 if flagged else 4,
                elinewidth=1.2,
                label="drifted" if flagged else "as before",
            )
        axes.set_title(measure, loc="left")
        axes.margins(x=0.05, y=0.15)
    shown = range(0, len(nights), max(1, -(-len(nights) // _NAMES_N)))
    all_axes[-1].set_xticks(list(shown), [nights[i] for i in shown], rotation=20, ha="right")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return finish(figure)


def gains(comparisons: Mapping[str, tuple[float, float, float]], *, margin: float) -> Figure:
    """Draw what a candidate gains over a champion on each set, with its interval, in points.

    Parameters
    ----------
    comparisons : mapping of str to (float, float, float)
        Gain and the ends of its interval, in shares, by set.
    margin : float
        The gain that a promotion needs, as a share.
    """
    figure, axes = new_figure(1.0 + 0.35 * len(comparisons))
    for row, (gain, low, high) in enumerate(comparisons.values()):
        colour = _USUAL if low > 0 and gain >= margin else NEUTRAL
        reach = [[100 * (gain - low)], [100 * (high - gain)]]
        axes.errorbar(100 * gain, row, xerr=reach, fmt="o", color=colour, capsize=3, markersize=5)
    axes.axvline(0, color=NEUTRAL, linewidth=1, zorder=0)
    axes.axvline(100 * margin, color=NEUTRAL, linestyle="--", linewidth=1, zorder=0)
    axes.set_yticks(range(len(comparisons)), list(comparisons))
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.set_xlabel("gain of the candidate in points, with 95 % interval; dashed: needed")
    return finish(figure)
