import pytest

from pipelines.evaluation.drawing import SERIES
from pipelines.evaluation.trend_figures import TrendPoint, gains, trends


def point(night, middle, *, flagged=False):
    return TrendPoint(night, middle - 1, middle, middle + 1, flagged)


def test_every_measure_has_its_panel_and_all_share_the_nights():
    figure = trends(
        {
            "diameter (nm)": [point("mon", 100), point("tue", 101)],
            "contrast": [point("tue", 5)],
        }
    )

    above, below = figure.axes
    assert [axes.get_title(loc="left") for axes in (above, below)] == ["diameter (nm)", "contrast"]
    assert [label.get_text() for label in below.get_xticklabels()] == ["mon", "tue"]
    # The second measure is known on the second night alone.
    assert below.lines[0].get_xdata().tolist() == [1]


def test_nights_that_drifted_have_another_colour():
    figure = trends({"contrast": [point("mon", 5), point("tue", 9, flagged=True)]})

    (axes,) = figure.axes
    usual, flagged = (container.lines[0] for container in axes.containers)
    assert usual.get_ydata().tolist() == [5]
    assert flagged.get_ydata().tolist() == [9]
    assert (usual.get_color(), flagged.get_color()) == SERIES[:2]


def test_of_many_nights_some_are_named():
    figure = trends({"contrast": [point(f"n{i}", i) for i in range(60)]})

    assert len(figure.axes[0].get_xticks()) <= 8


def test_gains_are_drawn_in_points_with_zero_and_what_is_needed():
    figure = gains({"trusted": (0.05, 0.01, 0.09), "newest": (0.0, -0.1, 0.1)}, margin=0.01)

    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["trusted", "newest"]
    points = [container.lines[0] for container in axes.containers]
    assert points[0].get_xdata().tolist() == pytest.approx([5.0])
    assert points[0].get_color() == SERIES[0]
    assert points[1].get_color() != SERIES[0]
    upright = {line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
    assert {0, 1.0} <= upright
