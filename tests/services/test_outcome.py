import json
from pathlib import Path

import numpy as np

from services.outcome import DONE, SOME_QUARANTINED, Outcome


def test_the_line_is_a_word_and_values():
    outcome = Outcome("segmented", {"tiles": 16, "f1": 0.987654, "name": "m"})

    assert outcome.line() == "segmented tiles=16 f1=0.9877 name=m"


def test_values_that_would_break_the_line_are_quoted():
    values = {"a": "two words", "b": "", "c": "x=y", "d": "1\n2", "e": 'say "x"'}

    assert Outcome("did", values).line() == (
        r'did a="two words" b="" c="x=y" d="1\n2" e="say \"x\""'
    )


def test_quarantine_shows_and_changes_the_status():
    clean, dirty = Outcome("did"), Outcome("did", {}, n_quarantined=2)

    assert (clean.line(), clean.status) == ("did", DONE)
    assert (dirty.line(), dirty.status) == ("did quarantined=2", SOME_QUARANTINED)


def test_the_json_has_every_value_in_a_form_that_all_readers_know():
    values = {
        "n": np.int64(3),
        "f1": np.float32(0.5),
        "accuracy": float("nan"),
        "high": np.inf,
        "path": Path("a/b"),
        "yes": True,
        "none": None,
    }

    text = Outcome("did", values, n_quarantined=1).json()

    assert "NaN" not in text
    assert json.loads(text) == {
        "done": "did",
        "n": 3,
        "f1": 0.5,
        "accuracy": None,
        "high": None,
        "path": "a/b",
        "yes": True,
        "none": None,
        "quarantined": 1,
    }


def test_what_is_not_as_it_should_be_ends_with_status_1():
    assert Outcome("damaged", is_failure=True).status == 1
