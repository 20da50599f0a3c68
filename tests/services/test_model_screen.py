from pathlib import Path

import pytest

from services.model_history import Promotion
from services.model_registry import RegisteredModel
from services.model_screen import show_screen


@pytest.fixture
def describe():
    """The screen of a model with a given part of its card."""

    def describe(aliases=(), promotions=(), **card):
        whole = {
            "seed": 0,
            "settings": {},
            "code_version": "1",
            "mosaics": {"m": "digest"},
            "label_version": 3,
            "label_digest": "l",
            **card,
        }
        config = {"weights_digest": "w", "classes": ["left", "right"]}
        model = RegisteredModel("hands", "2", Path(), config, whole, "r")
        return show_screen(model, aliases, promotions).splitlines()

    return describe


def test_groups_where_it_fails_are_named_with_their_interval(describe):
    edge = {"stratum": "touches edge", "n": 40, "accuracy": 0.5, "low": 0.35, "high": 0.65,
            "elsewhere": 0.97}  # fmt: skip

    lines = describe(known_failures=[edge])

    assert "  touches edge  50.0 % (35.0 to 65.0) of 40  elsewhere 97.0 %" in lines


@pytest.mark.parametrize(
    ("card", "line"),
    [
        ({}, "known failures: never looked for"),
        ({"known_failures": []}, "known failures: none found"),
        ({"test": {"n_test": 0.0}}, "tested       never: no truth is known"),
        ({"settings": {"epochs": 3}}, "settings     epochs=3 (others as by default)"),
        ({"settings": {"epochs": 30, "seed": 7}}, "settings     as by default"),
        ({"trained_on": {"pixel_size_nm": [1.5, 2.0]}}, "pixel sizes  1.5 to 2 nm"),
        ({"held_out": ["m"]}, "  m  digest  held out"),
    ],
)
def test_what_is_known_is_said_and_what_is_not_too(describe, card, line):
    assert line in describe(**card)


def test_a_champion_says_since_when_and_a_stranger_that_nobody_knows(describe):
    change = Promotion(1, "promote", "2", None, None, "2026-11-20T02:41:00+00:00", "ada", "good")

    assert "champion since 2026-11-20T02:41:00+00:00" in describe(["champion"], [change])
    assert "champion, made so outside tessera" in describe(["champion"], [])
    assert not any("since" in line for line in describe([], [change]))
