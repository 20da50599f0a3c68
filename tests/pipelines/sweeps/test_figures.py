import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from pipelines.evaluation.drawing import INK
from pipelines.sweeps.figures import accuracy_figure, kept_precision_figure, mirror_gap_figure
from pipelines.sweeps.intervals import Curve


def curve(x, values, reach=0.02) -> Curve:
    middle = np.array(values, dtype=float)
    return Curve(np.array(x, dtype=float), middle, middle - reach, middle + reach)


def lines_of(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_accuracy_is_drawn_in_percent_against_the_percentage_of_wrong_labels():
    figure = accuracy_figure(
        {"ce": curve([0, 0.2, 0.4], [0.98, 0.86, 0.75]), "elr": curve([0.2, 0.4], [0.95, 0.88])},
        title="cards",
    )

    (axes,) = figure.axes
    lines = lines_of(axes)
    assert lines["ce"].get_xdata().tolist() == [0, 20, 40]
    assert lines["ce"].get_ydata().tolist() == pytest.approx([98, 86, 75])
    assert lines["elr"].get_xdata().tolist() == [20, 40]
    assert lines["elr"].get_ydata().tolist() == pytest.approx([95, 88])
    assert to_hex(lines["ce"].get_color()) == INK
    assert axes.get_xlabel() == "wrong labels in training (%)"
    assert axes.get_ylabel() == "accuracy on true labels (%)"
    assert axes.get_title() == "cards; bands: 95 %"


def test_bands_reach_from_the_lower_to_the_upper_end_of_intervals():
    figure = accuracy_figure({"ce": curve([0, 0.4], [0.9, 0.7], reach=0.05)})

    (band,) = figure.axes[0].collections
    corners = {tuple(corner) for corner in np.round(band.get_paths()[0].vertices, 6).tolist()}
    assert {(0, 85), (0, 95), (40, 65), (40, 75)} <= corners


def test_chance_clean_labels_and_published_figures_stand_beside():
    figure = accuracy_figure(
        {"ce": curve([0, 0.4], [0.98, 0.75])},
        clean_accuracy=0.982,
        published=curve([0.2, 0.4], [0.951, 0.882]),
    )

    (axes,) = figure.axes
    lines = lines_of(axes)
    assert set(lines["chance"].get_ydata()) == {50}
    assert lines["clean labels"].get_ydata() == pytest.approx([98.2, 98.2])
    assert lines["published, best"].get_ydata().tolist() == pytest.approx([95.1, 88.2])
    assert "ce, clean labels: 98.2 %" in texts(figure)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["published, best"]


def test_methods_are_named_at_their_lines_and_not_in_a_legend():
    names = [f"method {i}" for i in range(16)]

    figure = accuracy_figure({name: curve([0, 0.5], [0.98, 0.5]) for name in names})

    (axes,) = figure.axes
    assert axes.get_legend() is None
    assert set(names) <= set(texts(figure))
    heights = sorted(text.get_position()[1] for text in axes.texts if text.get_text() in names)
    assert min(np.diff(heights)) > 1


@pytest.mark.parametrize("lowest", [0.2, 0.6])
def test_all_accuracies_are_within_the_axes(lowest):
    figure = accuracy_figure({"ce": curve([0, 0.5], [0.98, lowest])})

    bottom, top = figure.axes[0].get_ylim()
    assert bottom <= 100 * lowest - 2
    assert bottom <= 45
    assert top >= 100


@pytest.mark.parametrize("rates", [[0.0], [0.4]])
def test_one_rate_without_intervals_can_be_drawn(rates):
    figure = accuracy_figure({"ce": curve(rates, [0.8], reach=np.nan)})

    figure.draw_without_rendering()
    assert lines_of(figure.axes[0])["ce"].get_ydata().tolist() == [80]


def epochs(*precisions) -> list[dict]:
    return [{"kept_precision": value} for value in precisions]


def test_kept_precision_is_averaged_over_seeds_per_epoch():
    figure = kept_precision_figure(
        {"coteaching": [epochs(0.6, 0.8, 0.9), epochs(0.6, 0.9)], "elr": [epochs(None, None)]},
        error_rate=0.4,
    )

    (axes,) = figure.axes
    lines = lines_of(axes)
    assert set(lines) == {"coteaching", "all"}
    assert lines["coteaching"].get_xdata().tolist() == [1, 2, 3]
    assert lines["coteaching"].get_ydata().tolist() == pytest.approx([60, 85, 90])
    assert set(lines["all"].get_ydata()) == {60}
    assert "all samples: 60 %" in texts(figure)
    assert "coteaching" in texts(figure)
    assert axes.get_ylabel() == "rightly labelled among kept (%)"
    assert axes.get_title() == "40 % wrong labels; bands: all seeds"


def test_a_method_keeps_its_look_when_another_one_selects_nothing():
    curves = {name: curve([0, 0.4], [0.9, 0.7]) for name in ("ce", "elr", "jocor")}
    histories = {"ce": [epochs(None)], "elr": [epochs(None)], "jocor": [epochs(0.7, 0.8)]}

    accuracy = lines_of(accuracy_figure(curves).axes[0])["jocor"]
    precision = lines_of(kept_precision_figure(histories, error_rate=0.4).axes[0])["jocor"]

    assert accuracy.get_color() == precision.get_color()
    assert accuracy.get_linestyle() == precision.get_linestyle()


def test_kept_precision_below_that_of_all_stays_in_sight():
    axes = kept_precision_figure({"jocor": [epochs(0.3, 0.5)]}, error_rate=0.4).axes[0]

    assert axes.get_ylim()[0] < 30
    assert axes.get_xlim() == (1, 2)


def test_gaps_are_drawn_in_points_by_method_and_rate():
    figure = mirror_gap_figure(
        {
            "ce": curve([0.2, 0.4], [0.03, -0.01], reach=0.01),
            "elr": curve([0.4], [0.005], reach=0.02),
        }
    )

    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ce", "elr"]
    at_20, at_40 = axes.containers
    assert (at_20.get_label(), at_40.get_label()) == ("20 %", "40 %")
    assert at_20.lines[0].get_xdata().tolist() == pytest.approx([3])
    assert at_40.lines[0].get_xdata().tolist() == pytest.approx([-1, 0.5])
    # Rows of methods, those of one method beside each other.
    assert np.round(at_20.lines[0].get_ydata()).tolist() == [0]
    assert np.round(at_40.lines[0].get_ydata()).tolist() == [0, 1]
    assert at_20.lines[0].get_ydata()[0] < at_40.lines[0].get_ydata()[0] - 0.2
    (bars,) = at_40.lines[2]
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([-2, 0]), pytest.approx([-1.5, 2.5])]


def test_the_gap_that_is_wished_for_is_shaded_and_in_sight():
    figure = mirror_gap_figure({"ce": curve([0.4], [0.001], reach=0.001)}, wanted=0.01)

    (axes,) = figure.axes
    left, right = axes.get_xlim()
    assert left < -1 < 1 < right
    assert "within 1 point" in axes.get_title()
    shaded = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (shaded.x0, shaded.x1) == (pytest.approx(-1), pytest.approx(1))


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: accuracy_figure({}), "curves"),
        (lambda: kept_precision_figure({"elr": [epochs(None)]}, error_rate=0.2), "histories"),
        (lambda: mirror_gap_figure({}), "gaps"),
    ],
)
def test_nothing_to_draw_is_an_error(draw, name):
    with pytest.raises(ValueError, match=f"{name} must hold something to draw, got none"):
        draw()


def test_all_that_is_drawn_is_on_the_page():
    many = {f"method {i}": curve([0, 0.2, 0.5], [0.98, 0.9, 0.5]) for i in range(16)}

    for figure in (
        accuracy_figure(many),
        mirror_gap_figure(many),
        kept_precision_figure({name: [epochs(0.6, 0.7)] for name in many}, error_rate=0.4),
    ):
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
        width_in, height_in = figure.get_size_inches()
        assert drawn.x0 > -0.02
        assert drawn.y0 > -0.02
        assert drawn.x1 < width_in + 0.02
        assert drawn.y1 < height_in + 0.02


def test_chance_far_below_all_curves_is_left_out():
    points = np.array([0.9, 0.8])
    high = Curve(np.array([0.2, 0.4]), points, points - 0.01, points + 0.01)

    axes = accuracy_figure({"ce": high}, chance=0.1).axes[0]

    assert "chance" not in [line.get_label() for line in axes.lines]
    assert axes.get_ylim()[0] > 70
