import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.labels.expressions import parse_condition
from pipelines.labels.rules import Rule
from pipelines.labels.votes import decide, vote_patterns

TRUE = parse_condition("True", {}, where="x")


def rule(name, label, weight=1.0):
    return Rule(name, TRUE, label, weight)


ROUND, SMALL, LONG = rule("round", "dot", 0.1), rule("small", "dot", 0.2), rule("long", "rod", 0.3)
BRIGHT = rule("bright", "rod", 5.0)


def verdict(*voters, combine="majority", min_confidence=0.0):
    rules = [ROUND, SMALL, LONG, BRIGHT]
    fired = np.array([r in voters for r in rules])
    found = decide(fired, rules, combine=combine, min_confidence=min_confidence)
    return found.label, found.confidence, found.reason


def test_a_single_vote_decides():
    assert verdict(ROUND) == ("dot", 1.0, "round")


def test_the_majority_wins_and_the_others_are_named():
    assert verdict(ROUND, SMALL, LONG) == ("dot", pytest.approx(2 / 3), "round, small against long")


def test_weights_count_only_in_a_weighted_vote():
    assert verdict(ROUND, SMALL, BRIGHT)[0] == "dot"
    assert verdict(ROUND, SMALL, BRIGHT, combine="weighted") == (
        "rod",
        pytest.approx(5 / 5.3),
        "bright against round, small",
    )


def test_without_a_vote_there_is_no_label():
    assert verdict() == (None, None, "no rule voted")


def test_a_tie_is_no_label():
    assert verdict(SMALL, LONG) == (None, 0.5, "tie: small against long")


def test_a_tie_of_weights_does_not_depend_on_rounding():
    # 0.1 + 0.2 is not 0.3 in binary.
    assert verdict(ROUND, SMALL, LONG, combine="weighted")[0] is None


def test_a_winner_that_is_not_sure_enough_is_not_taken():
    assert verdict(ROUND, SMALL, LONG, min_confidence=0.6)[0] == "dot"
    assert verdict(ROUND, SMALL, LONG, min_confidence=0.7) == (
        None,
        pytest.approx(2 / 3),
        "confidence below 0.7: round, small against long",
    )


@pytest.mark.parametrize("combine", ["majority", "weighted"])
def test_the_order_of_rules_decides_nothing(combine):
    rules = [ROUND, SMALL, LONG, BRIGHT]
    for pattern in np.ndindex(2, 2, 2, 2):
        fired = np.array(pattern, dtype=bool)
        forward = decide(fired, rules, combine=combine, min_confidence=0.0)
        backward = decide(fired[::-1], rules[::-1], combine=combine, min_confidence=0.0)
        assert (forward.label, forward.confidence) == (backward.label, backward.confidence)


@given(hnp.arrays(bool, st.tuples(st.integers(0, 20), st.integers(1, 70)), elements=st.booleans()))
def test_patterns_are_each_once_and_lead_back(fired):
    patterns, pattern_of = vote_patterns(fired)

    np.testing.assert_array_equal(patterns[pattern_of], fired)
    assert len({tuple(p) for p in patterns.tolist()}) == len(patterns)


def test_many_rules_fit_into_a_pattern():
    fired = np.zeros((3, 130), dtype=bool)
    fired[1, 129] = fired[2, 0] = True

    patterns, _ = vote_patterns(fired)

    assert len(patterns) == 3
