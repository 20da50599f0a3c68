import pickle

import numpy as np
import pytest

from pipelines.labels.expressions import parse_condition

NAN = float("nan")
KINDS = {"a": "number", "b": "number", "edge": "condition"}
COLUMNS = {
    "a": np.array([-1.0, 0.0, 1.0, 4.0, NAN]),
    "b": np.array([2.0, 0.0, NAN, 2.0, 2.0]),
    "edge": np.array([0.0, 1.0, 1.0, NAN, 1.0]),
}


def holds(text, statistics=()):
    return parse_condition(text, KINDS, where="x").holds(COLUMNS, statistics).astype(int).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < 1", [1, 1, 0, 0, 0]),
        ("a <= 1", [1, 1, 1, 0, 0]),
        ("a > 0", [0, 0, 1, 1, 0]),
        ("a >= 0", [0, 1, 1, 1, 0]),
        ("a == 4", [0, 0, 0, 1, 0]),
        ("a != 4", [1, 1, 1, 0, 0]),
        ("-1 < a < 2", [0, 1, 1, 0, 0]),
        ("edge", [0, 1, 1, 0, 1]),
        ("not edge", [1, 0, 0, 0, 0]),
        ("a + b > 2", [0, 0, 0, 1, 0]),
        ("a - b < -2", [1, 0, 0, 0, 0]),
        ("-a > 0", [1, 0, 0, 0, 0]),
        ("a * b == 8", [0, 0, 0, 1, 0]),
        ("a % 3 == 1", [0, 0, 1, 1, 0]),
        ("a // 3 == -1", [1, 0, 0, 0, 0]),
        ("a ** 2 == 16", [0, 0, 0, 1, 0]),
        ("abs(a) == 1", [1, 0, 1, 0, 0]),
        ("sqrt(a) == 2", [0, 0, 0, 1, 0]),
        ("exp(a) == 1", [0, 1, 0, 0, 0]),
        ("log(a) == 0", [0, 0, 1, 0, 0]),
        ("log10(a * 25) == 2", [0, 0, 0, 1, 0]),
        ("min(a, b) == 2", [0, 0, 0, 1, 0]),
        ("max(a, b, 0) == 4", [0, 0, 0, 1, 0]),
        ("clip(a, 0, 3) == 3", [0, 0, 0, 1, 0]),
        ("True", [1, 1, 1, 1, 1]),
        ("False", [0, 0, 0, 0, 0]),
        ("1 < 2", [1, 1, 1, 1, 1]),
    ],
)
def test_every_operation_does_what_its_sign_says(text, expected):
    assert holds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Unknown is neither true nor false, and not even a true other side outweighs it.
        ("not (a > 100)", [1, 1, 1, 1, 0]),
        ("a == a", [1, 1, 1, 1, 0]),
        ("edge or True", [1, 1, 1, 0, 1]),
        ("True or b > 0", [1, 1, 0, 1, 1]),
        ("a / b >= 0 or a / b < 0", [1, 0, 0, 1, 0]),
        ("sqrt(a) >= 0", [0, 1, 1, 1, 0]),
        ("1 / a > 5", [0, 0, 0, 0, 0]),
        ("log(a) < 0", [0, 0, 0, 0, 0]),
        ("max(b, 1) >= 1", [1, 1, 0, 1, 1]),
        ("a ** 1000 > 1", [0, 0, 0, 0, 0]),
    ],
)
def test_what_is_not_known_holds_for_no_one(text, expected):
    assert holds(text) == expected


def test_statistics_are_over_the_known_values_of_the_mosaic():
    condition = parse_condition(
        "a > quantile(a, 0.5) or b > median(b + 1) or a > quantile(a, 1)", KINDS, where="x"
    )

    np.testing.assert_array_equal(condition.statistics(COLUMNS), [0.5, 3.0, 4.0])


def test_statistics_of_nothing_known_are_unknown():
    condition = parse_condition("a > median(a)", KINDS, where="x")

    assert np.isnan(condition.statistics({"a": np.array([NAN])})).all()
    assert np.isnan(condition.statistics({"a": np.empty(0)})).all()


def test_each_particle_is_compared_with_its_own_mosaics_statistic():
    condition = parse_condition("a >= median(a)", KINDS, where="x")
    copied = pickle.loads(pickle.dumps(condition))

    statistic = np.array([-2.0, 1.0, 1.0, 9.0, 0.0])

    assert copied.holds(COLUMNS, [statistic]).tolist() == [True, False, True, False, False]


def test_columns_are_left_as_they_were():
    before = {name: values.copy() for name, values in COLUMNS.items()}

    holds("clip(a, 0, 1) + abs(b) > 1 and not edge")

    for name in COLUMNS:
        np.testing.assert_array_equal(COLUMNS[name], before[name])


def test_no_particles_give_no_answers():
    condition = parse_condition("a > 1 and edge", KINDS, where="x")

    assert condition.holds({"a": np.empty(0), "edge": np.empty(0)}).shape == (0,)
