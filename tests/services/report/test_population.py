from dataclasses import replace

import numpy as np
import pytest

from services.report.inputs import ReportInputs
from services.report.particles import read_particles
from services.report.population import (
    CORRECTED,
    class_shares,
    count_contradictions,
    ratio_estimates,
    share_of,
    target_class,
)


def labels(**counts: int):
    return np.array([name for name, n in counts.items() for _ in range(n)], dtype=object)


@pytest.fixture
def population(scene):
    """Make particles of labels alone."""
    scene.add_mosaic("m")
    some = read_particles(scene.archive, ReportInputs())

    def make(given, predicted, true, classes=("left", "right")):
        n = len(given)
        return replace(
            some,
            ids=np.arange(n),
            given=given,
            predicted=predicted,
            true=true,
            classes=classes,
            is_test=np.array([label is not None for label in true]),
        )

    return make


def test_a_share_counts_the_two_hands_alone():
    share, low, high = share_of(labels(right=8, left=2, none=90), "right", ["left"])

    assert share == 0.8
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)


def test_an_unknown_error_is_not_corrected(population):
    nothing = np.full(10, None, dtype=object)
    particles = population(labels(right=10), labels(right=7, left=3), nothing)

    estimates = ratio_estimates(particles, "right", ["left"], seed=0)

    assert {name: values[0] for name, values in estimates.items()} == {
        "given labels": 1.0,
        "predictions": 0.7,
    }


def test_a_known_error_is_corrected(population):
    # 100 right and 100 left; a tenth of each is taken for the other; another 200 are unknown.
    true = np.concatenate([labels(right=100, left=100), np.full(200, None, dtype=object)])
    said = [labels(right=90, left=10), labels(right=10, left=90), labels(right=90, left=110)]
    particles = population(np.full(400, None, dtype=object), np.concatenate(said), true)

    estimates = ratio_estimates(particles, "right", ["left"], seed=0)

    # Observed 190 of 400; (0.475 - 0.1) / (0.9 - 0.1).
    assert estimates["predictions"][0] == 0.475
    assert estimates[CORRECTED][0] == pytest.approx(0.46875)
    assert estimates[CORRECTED][1] < 0.46875 < estimates[CORRECTED][2]
    assert "given labels" not in estimates


def test_right_is_compared_with_left_whatever_else_there_is(population):
    rows = labels(none=3, left=1)
    nothing = np.full(4, None, dtype=object)

    assert target_class(population(rows, nothing, nothing, ())) == ("right", ["left"])
    rods = labels(rod=3, debris=1)
    assert target_class(population(rods, nothing, nothing, ())) == ("debris", ["rod"])


def test_every_class_of_several_has_its_share(population):
    rows = labels(a=1, b=2, c=1)
    particles = population(rows, np.full(4, None, dtype=object), np.full(4, None, dtype=object), ())

    shares = class_shares(particles, ["a", "b", "c"])

    assert {name: values[0] for name, values in shares.items()} == {
        "a, given labels": 0.25,
        "b, given labels": 0.5,
        "c, given labels": 0.25,
    }


def test_contradicted_labels_are_counted(population):
    given = np.array(["right", "right", "right", None], dtype=object)
    predicted = np.array(["right", "left", "right", "left"], dtype=object)
    particles = population(given, predicted, np.full(4, None, dtype=object))

    table = count_contradictions(particles)

    assert list(table.head) == ["given label", "predicted right", "predicted left", "contradicted"]
    assert table.rows == [["right", "2", "1", "33.3 %"]]


def test_without_predictions_nothing_is_contradicted(population):
    nothing = np.full(2, None, dtype=object)

    assert count_contradictions(population(labels(right=2), nothing, nothing)) is None
