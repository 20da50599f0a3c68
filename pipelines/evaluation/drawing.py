"""What all figures share: colours that colour-blind eyes tell apart on white and on black, inks."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

#: Width of a figure that fills a column, in inches.
WIDTH_IN = 5.6
#: Text and axes of figures. A page that is shown dark swaps these two.
INK = "#22272e"
FAINT = "#c9ced6"
#: What belongs to no class, and what is only for comparison.
NEUTRAL = "#7d8791"
#: Name of what has no label, where a figure shows it too.
NO_LABEL = "no label"
#: Every one has a contrast of at least 3 against white and against a dark page.
SERIES = ("#2a86d1", "#de5f0a", "#b8479b", "#1b9e6e", "#8a7200")
_FIXED = {"right": SERIES[0], "left": SERIES[1], "none": NEUTRAL, NO_LABEL: NEUTRAL}


def class_colours(classes: Iterable[str]) -> dict[str, str]:
    """Give every class its colour, as ``#rrggbb``.

    Handedness has fixed colours; other classes take theirs in the order given, which begins
    again after five.

    Examples
    --------
    >>> class_colours(["left", "right"])
    {'left': '#de5f0a', 'right': '#2a86d1'}
    """
    names = list(dict.fromkeys(classes))
    taken = {_FIXED[name] for name in names if name in _FIXED}
    free = [colour for colour in SERIES if colour not in taken]
    others = [name for name in names if name not in _FIXED]
    given = {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: _FIXED.get(name) or given[name] for name in names}


def rgb(colour: str) -> tuple[int, int, int]:
    """Turn ``#rrggbb`` into three numbers of 0 to 255.

    Examples
    --------
    >>> rgb("#2a86d1")
    (42, 134, 209)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def new_figure(height_in: float, *, width_in: float = WIDTH_IN) -> tuple[Figure, Axes]:
    """Make a figure with one pair of axes, on a canvas of its own."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.add_subplot()


def finish(figure: Figure) -> Figure:
    """Give everything that is not data the inks, and take away the frame's upper right."""
    for text in figure.findobj(Text):
        if text.get_color() == "black":
            text.set_color(INK)
    for axes in figure.axes:
        axes.title.set_fontsize(10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=8)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
        if legend := axes.get_legend():
            for text in legend.get_texts():
                text.set_fontsize(8)
    return figure
