import numpy as np
import pytest

from pipelines.labels.expressions import parse_condition
from pipelines.labels.rules import Rule
from pipelines.labels.vote_report import UNKNOWN, class_names, report_votes

TRUE = parse_condition("True", {}, where="x")
RULES = [Rule("round", TRUE, "dot"), Rule("small", TRUE, "dot"), Rule("long", TRUE, "rod", 2.0)]
FIRED = np.array(
    [
        [1, 0, 0],
        [1, 1, 0],
        [1, 0, 1],
        [0, 0, 1],
        [0, 0, 0],
    ],
    dtype=bool,
)
DOT, ROD = 0, 1
GIVEN = np.array([DOT, DOT, UNKNOWN, ROD, UNKNOWN])


def test_classes_are_sorted():
    assert class_names(RULES) == ["dot", "rod"]


def test_coverage_overlap_and_conflict_are_shares_of_all_particles():
    report = report_votes(FIRED, RULES, GIVEN)

    assert (report.coverage, report.overlap, report.conflict) == (0.8, 0.4, 0.2)
    assert (report.n_particles, report.n_labelled) == (5, 3)
    assert report.labels == {"dot": 2, "rod": 1}


def test_every_rule_is_reported_by_itself():
    rounds, small, long = report_votes(FIRED, RULES, GIVEN).rules

    assert (rounds.n_votes, rounds.coverage, rounds.overlap, rounds.conflict) == (3, 0.6, 0.4, 0.2)
    # Rules for the same label overlap, but do not conflict.
    assert (small.coverage, small.overlap, small.conflict) == (0.2, 0.2, 0.0)
    assert (long.name, long.label, long.weight, long.conflict) == ("long", "rod", 2.0, 0.2)


def test_accuracy_counts_particles_of_known_truth_alone():
    other_class = 2
    truth = np.array([DOT, other_class, ROD, UNKNOWN, ROD])

    report = report_votes(FIRED, RULES, GIVEN, truth)

    assert report.n_with_truth == 4
    assert report.accuracy == 0.5
    assert [rule.accuracy for rule in report.rules] == [pytest.approx(1 / 3), 0.0, 1.0]


def test_without_truth_nothing_is_said_of_accuracy():
    report = report_votes(FIRED, RULES, GIVEN)

    assert report.accuracy is None
    assert {rule.accuracy for rule in report.rules} == {None}


def test_no_particles_are_covered_by_nothing():
    report = report_votes(np.zeros((0, 3), bool), RULES, np.zeros(0, int))

    assert (report.coverage, report.conflict, report.n_particles) == (0.0, 0.0, 0)


def test_the_report_is_plain_values():
    plain = report_votes(FIRED, RULES, GIVEN).as_json()

    assert plain["rules"][0]["name"] == "round"
    assert plain["labels"] == {"dot": 2, "rod": 1}


def test_the_table_has_a_line_per_rule_and_one_for_all():
    truth = np.array([DOT, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN])

    lines = report_votes(FIRED, RULES, GIVEN, truth).table().splitlines()

    assert lines == [
        "rule      label      weight  votes  coverage  overlap  conflict   right",
        "round     dot             1      3     60.0%    40.0%     20.0%  100.0%",
        "small     dot             1      1     20.0%    20.0%      0.0%       -",
        "long      rod             2      2     40.0%    20.0%     20.0%       -",
        "together  2 classes              3     80.0%    40.0%     20.0%  100.0%",
    ]
