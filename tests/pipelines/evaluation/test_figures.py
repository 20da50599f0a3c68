import matplotlib
import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.colors import to_hex
from matplotlib.text import Text

from pipelines.evaluation.drawing import INK
from pipelines.evaluation.figures import (
    confusion,
    curve_panels,
    median_interval,
    population_ratio,
    reliability,
    size_distribution,
    training_curves,
)

EPOCHS = [
    {"train_loss": 0.7, "select_loss": 0.6, "select_accuracy": 0.5, "wrong_labels_memorised": 0.1},
    {"train_loss": 0.3, "select_loss": 0.4, "select_accuracy": 0.9, "wrong_labels_memorised": 0.2},
]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_bars_stack_to_the_number_of_particles():
    figure = size_distribution(
        {"right": np.array([50.0, 51, 60]), "left": np.array([52.0])}, unit="nm", n_bins=2
    )

    (axes,) = figure.axes
    heights = [patch.get_height() for patch in axes.patches[:4]]
    assert heights == [2, 1, 1, 0]
    assert axes.patches[2].get_y() == 2
    assert axes.get_xlabel() == "equivalent diameter (nm)"
    assert axes.get_ylabel() == "particles"
    assert "n = 4" in axes.get_title()


def test_the_median_stands_with_its_interval_and_unit():
    figure = size_distribution({"all": np.arange(1.0, 101.0)}, unit="px")

    (axes,) = figure.axes
    assert axes.get_title() == "median 50.5 px (95 % 40 to 61), n = 100"
    assert axes.lines[0].get_xdata()[0] == 50.5
    assert axes.get_legend() is None


@pytest.mark.parametrize("values", [[7.0], [7.0, 7.0], [1.0, 1000.0]])
def test_few_or_equal_sizes_can_be_drawn(values):
    figure = size_distribution({"all": np.array(values)}, unit="nm")

    assert sum(patch.get_height() for patch in figure.axes[0].patches[:-1]) == len(values)


def test_the_medians_interval_covers_it_as_often_as_it_says(rng):
    hits = 0
    for _ in range(400):
        _, low, high = median_interval(rng.normal(size=41))
        hits += low <= 0 <= high

    # 95 % at least, by construction; below 93 % would be 2 standard errors off.
    assert hits >= 0.93 * 400


def test_curves_are_sorted_into_panels_and_drawn_by_epoch():
    figure = training_curves(EPOCHS)

    panels = {axes.get_ylabel(): axes for axes in figure.axes}
    assert list(panels) == ["loss", "accuracy", "share of wrong labels"]
    loss = panels["loss"].lines[0]
    assert loss.get_label() == "train loss"
    assert loss.get_xdata().tolist() == [1, 2]
    assert loss.get_ydata().tolist() == [0.7, 0.3]
    assert panels["share of wrong labels"].lines[0].get_label() == "memorised"
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}


def test_curves_in_one_panel_differ_in_style_and_not_in_colour_alone():
    first, second = training_curves(EPOCHS).axes[0].lines

    assert first.get_linestyle() != second.get_linestyle()


def test_a_curve_that_begins_late_keeps_its_epochs():
    rows = [{"epoch": 5, "train_loss": 1.0}, {"epoch": 6, "train_loss": 0.5, "test_accuracy": 1.0}]

    figure = training_curves(rows)

    assert figure.axes[0].lines[0].get_xdata().tolist() == [5, 6]
    assert figure.axes[1].lines[0].get_xdata().tolist() == [6]


def test_columns_that_are_no_curves_are_left_out():
    assert curve_panels([{"seconds": 3.0, "learning_rate": 0.1, "test_accuracy": None}]) == {}


def test_a_history_without_curves_is_refused():
    with pytest.raises(ValueError, match="0 rows"):
        training_curves([])


def test_confusion_shows_counts_shares_and_intervals_by_true_class():
    figure = confusion(np.array([[98, 2], [1, 9]]), ["right", "left"])

    (axes,) = figure.axes
    cells = {(text.get_position()): text.get_text() for text in axes.texts}
    assert cells[(1.5, 0.5)].splitlines()[:2] == ["2", "2.0 %"]
    assert cells[(0.5, 1.5)].splitlines()[:2] == ["1", "10.0 %"]
    assert cells[(1.5, 0.5)].splitlines()[2] == "(0.6 to 7.0)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["right", "left"]
    # The first true class is the upper row.
    assert axes.get_ylim() == (2, 0)


def test_a_class_that_never_occurred_has_no_shares():
    figure = confusion(np.array([[5, 0], [0, 0]]), ["a", "b"])

    assert [text.get_text() for text in figure.axes[0].texts][2:] == ["0", "0"]


def test_a_matrix_of_another_size_than_its_classes_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\), got \(2, 2\)"):
        confusion(np.eye(2), ["a", "b", "c"])


def test_reliability_shows_confidence_against_the_share_right():
    # Ten predictions of confidence 0.8, eight of them right: perfectly calibrated.
    probabilities = np.tile([0.8, 0.2], (10, 1))
    true = np.array([0] * 8 + [1] * 2)

    figure = reliability(probabilities, true)

    upper, lower = figure.axes
    (points,) = upper.containers
    assert np.allclose(points[0].get_xdata(), [0.8])
    assert np.allclose(points[0].get_ydata(), [0.8])
    (bar,) = points[2]
    low, high = bar.get_segments()[0][:, 1]
    assert np.allclose([low, high], [0.490, 0.943], atol=1e-3)
    assert upper.get_title() == "calibration error 0.000, n = 10"
    assert sum(patch.get_height() for patch in lower.patches) == 10
    assert lower.get_xlabel() == "confidence of the prediction"


def test_ratios_stand_one_below_the_other_with_their_numbers_and_the_truth():
    figure = population_ratio(
        {"given labels": (1.0, 0.99, 1.0), "predictions": (0.7, 0.6, 0.8)},
        of="right among right and left",
        truth=0.72,
    )

    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["given labels", "predictions"]
    assert axes.get_xlabel() == "share of right among right and left, with 95 % interval"
    segment = axes.containers[1][2][0].get_segments()[0]
    assert np.allclose(segment[:, 0], [0.6, 0.8])
    figure.canvas.draw()
    assert "70.0 % (60.0 to 80.0)" in texts(figure)
    assert "72.0 %" in axes.get_title()


@pytest.mark.parametrize(
    "figure",
    [
        size_distribution({"a": np.array([1.0, 2.0]), "b": np.array([1.0])}, unit="nm"),
        training_curves(EPOCHS),
        confusion(np.eye(2, dtype=int), ["a", "b"]),
        population_ratio({"a": (0.5, 0.4, 0.6)}, of="right"),
    ],
    ids=["sizes", "curves", "confusion", "ratio"],
)
def test_everything_that_is_not_data_is_drawn_in_the_ink(figure):
    figure.canvas.draw()

    colours = {to_hex(text.get_color()) for text in figure.findobj(Text) if text.get_text()}
    assert colours <= {INK, "#ffffff"}


def test_figures_leave_no_trace_in_matplotlib():
    before = dict(matplotlib.rcParams)

    training_curves(EPOCHS)

    assert dict(matplotlib.rcParams) == before
    assert _pylab_helpers.Gcf.get_num_fig_managers() == 0
