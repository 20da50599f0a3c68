import numpy as np
import pytest
from matplotlib.figure import Figure

from pipelines.evaluation.drawing import INK
from pipelines.sweeps.line_labels import line_styles, name_lines, spread


def test_sixteen_methods_look_different_and_the_baseline_is_ink():
    methods = ["ce", *(f"method {i}" for i in range(15))]

    styles = line_styles(methods)

    assert list(styles) == methods
    assert len(set(styles.values())) == 16
    assert styles["ce"].colour == INK


def test_a_method_looks_the_same_whether_or_not_the_baseline_is_drawn():
    assert line_styles(["elr", "gce"])["gce"] == line_styles(["ce", "elr", "gce"])["gce"]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.0, 5.0], [0, 5]),
        ([3.0, 3.0, 3.0], [2, 3, 4]),
        ([3.0, 3.2, 9.0], [2.6, 3.6, 9]),
        # The order that was asked for holds even against the places.
        ([4.0, 3.0], [3, 4]),
        # Near an edge all move inwards.
        ([0.0, 0.0], [0, 1]),
        ([10.0, 10.0, 10.0], [8, 9, 10]),
    ],
)
def test_places_move_apart_as_little_as_possible(places, expected):
    moved = spread(np.array(places), gap=1.0, low=0.0, high=10.0)

    assert moved.tolist() == pytest.approx(expected)


def test_too_many_places_keep_their_distance_beyond_the_edge():
    moved = spread(np.full(5, 1.0), gap=1.0, low=0.0, high=3.0)

    assert moved.tolist() == pytest.approx([-1, 0, 1, 2, 3])


def test_no_places_need_no_room():
    assert spread(np.empty(0), gap=1.0, low=0.0, high=1.0).size == 0


def drawn_names(ends, rank):
    axes = Figure().add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 100))
    name_lines(axes, ends, line_styles(list(ends)), rank=rank, height_in=3.0)
    return axes, {text.get_text(): text.get_position()[1] for text in axes.texts if text.get_text()}


def test_names_stand_at_the_height_where_their_lines_end():
    axes, names = drawn_names({"elr": (1, 80.0), "gce": (1, 20.0)}, {"elr": 0, "gce": 1})

    assert names == {"elr": 80.0, "gce": 20.0}
    assert axes.get_ylim() == (0, 100)


def test_of_lines_that_end_together_the_better_one_is_named_above():
    rank = {"ce": 0.6, "elr": 0.7, "gce": 0.9, "far": 0.1}

    _, names = drawn_names(
        {"elr": (1, 50.2), "ce": (1, 50.4), "gce": (1, 49.9), "far": (1, 90.0)}, rank
    )

    assert sorted(names, key=lambda name: -names[name]) == ["far", "gce", "elr", "ce"]
    heights = sorted(names.values())
    assert min(np.diff(heights)) > 4


def test_each_name_is_tied_to_the_end_of_its_line_and_shows_its_look():
    axes, names = drawn_names({"elr": (1, 50.0), "gce": (0.5, 50.0)}, {"elr": 0, "gce": 1})

    ties = [text for text in axes.texts if not text.get_text()]
    assert {tie.xy for tie in ties} == {(1, 50.0), (0.5, 50.0)}
    pieces = {line.get_ydata()[0]: line.get_color() for line in axes.lines}
    styles = line_styles(["elr", "gce"])
    assert pieces == {names[name]: styles[name].colour for name in names}
