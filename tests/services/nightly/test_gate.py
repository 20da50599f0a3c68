import math

import numpy as np
import pytest

from services.nightly.gate import (
    NEWEST,
    TRUSTED,
    Answers,
    Comparison,
    compare,
    decide,
    decide_first,
)


def answers(known, candidate, champion=None, name=TRUSTED):
    """Answers as letters: l and r."""
    as_array = [None if text is None else np.array(list(text)) for text in (candidate, champion)]
    return Answers(name, np.arange(len(known)), np.array(list(known), dtype=str), *as_array)


def comparison(difference, low, high, *, name=TRUSTED, n=100, classes=2, champion=0.9):
    return Comparison(name, n, classes, 0.9, champion, difference, low, high)


def test_classes_count_alike_however_rare_they_are():
    # 8 of 8 right hands, none of 2 left ones: half of what matters.
    found = compare(answers("rrrrrrrrll", "rrrrrrrrrr", "rrrrrrrrrr"), seed=0)

    assert found.candidate == pytest.approx(0.5)
    assert found.champion == pytest.approx(0.5)
    assert (found.n_particles, found.n_classes) == (10, 2)


def test_models_that_say_the_same_differ_by_nothing_at_all():
    found = compare(answers("rlrlrl", "rrrrrr", "rrrrrr"), seed=0)

    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_the_gain_is_paired_so_that_equal_mistakes_do_not_widen_it():
    known = "rl" * 50
    both_wrong = "lr" * 20 + known[40:]
    one_more = "l" + both_wrong[1:-1] + "r"

    found = compare(answers(known, both_wrong, one_more), seed=0)

    assert found.difference == pytest.approx(0.01)
    assert -0.001 <= found.low <= 0.01
    assert found.high < 0.05


def test_without_a_champion_chance_is_what_one_answer_for_all_gets():
    found = compare(answers("rrrrrrll", "rrrrrrrr"), seed=0)

    assert math.isnan(found.champion)
    assert found.difference == pytest.approx(0)


def test_of_nothing_known_nothing_is_said():
    found = compare(answers("", "", ""), seed=0)

    assert found.n_particles == 0
    assert math.isnan(found.difference)


def test_a_better_candidate_is_promoted_and_the_reason_says_by_how_much():
    verdict = decide([comparison(0.05, 0.01, 0.09)], margin=0.01, min_judged=20)

    assert verdict.promote
    assert verdict.why == "better by +5.0 points (+1.0 to +9.0) on the 100 trusted particles"


@pytest.mark.parametrize(
    ("difference", "low", "high"),
    [
        (0.05, -0.01, 0.11),  # chance explains it
        (0.05, 0.0, 0.11),  # the interval touches zero
        (0.005, 0.001, 0.009),  # too small to be worth a change
        (0.0, 0.0, 0.0),  # the same
    ],
)
def test_a_gain_that_is_small_or_unsure_is_not_enough(difference, low, high):
    verdict = decide([comparison(difference, low, high)], margin=0.01, min_judged=20)

    assert not verdict.promote
    assert "a gain of 1 points with an interval above zero is needed" in verdict.why


def test_a_gain_on_one_set_does_not_pay_for_a_loss_on_the_other():
    gain = comparison(0.2, 0.1, 0.3)
    loss = comparison(-0.02, -0.1, 0.06, name=NEWEST, n=40)

    verdict = decide([gain, loss], margin=0.01, min_judged=20)

    assert not verdict.promote
    assert verdict.why == "not promoted: -2.0 points (-10.0 to +6.0) on the 40 newest particles"


def test_a_gain_on_the_newest_is_enough_where_trusted_labels_see_no_loss():
    same = comparison(0.0, -0.02, 0.02)
    gain = comparison(0.2, 0.1, 0.3, name=NEWEST, n=40)

    assert decide([same, gain], margin=0.01, min_judged=20).promote


def test_few_particles_decide_nothing_either_way():
    few_better = comparison(0.5, 0.3, 0.7, n=19)
    few_worse = comparison(-0.5, -0.7, -0.3, name=NEWEST, n=19)
    many = comparison(0.05, 0.01, 0.09, n=100)

    assert decide([many, few_worse], margin=0.01, min_judged=20).promote
    verdict = decide([few_better], margin=0.01, min_judged=20)
    assert not verdict.promote
    assert verdict.why == (
        "not promoted: 19 particles of known class are too few to judge by, 20 are needed"
    )


def test_the_first_champion_must_beat_chance():
    unsure = comparison(0.1, -0.02, 0.22, champion=math.nan)
    sure = comparison(0.3, 0.2, 0.4, champion=math.nan)

    assert not decide_first([unsure], min_judged=20).promote
    verdict = decide_first([sure], min_judged=20)
    assert verdict.promote
    assert verdict.why.startswith("first champion: +30.0 points")


def test_without_trusted_labels_nobody_becomes_the_first_champion():
    newest = comparison(0.4, 0.3, 0.5, name=NEWEST, champion=math.nan)
    nobody = comparison(math.nan, math.nan, math.nan, n=0, champion=math.nan)

    verdict = decide_first([nobody, newest], min_judged=20)

    assert not verdict.promote
    assert "there are no trusted labels to judge by" in verdict.why


def test_trusted_labels_of_one_class_prove_nothing():
    verdict = decide_first([comparison(0.0, 0.0, 0.0, classes=1)], min_judged=20)

    assert not verdict.promote
    assert "all trusted labels are of one class" in verdict.why


def test_a_verdict_becomes_json_without_numbers_that_json_lacks():
    said = decide_first([comparison(0.3, 0.2, 0.4, champion=math.nan)], min_judged=20).to_json()

    assert said["promote"] is True
    assert said["comparisons"][0]["champion"] is None
    assert said["comparisons"][0]["low"] == 0.2
