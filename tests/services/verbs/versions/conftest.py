"""An archive with two versions of its labels, and the verbs on them."""

import json

import pytest

from services.cli import run
from services.label_decisions import Decision, decide
from services.label_store import read_labels


@pytest.fixture
def labelled(hands):
    """Version 0: 60 given labels; version 1: two of them decided otherwise."""
    particles = read_labels(hands, with_unlabelled=True)["particle_id"]
    decisions = [
        Decision(particles[57].as_py(), "label", "left"),
        Decision(particles[58].as_py(), "undeterminable"),
    ]
    decide(hands, decisions, author="bob", code_version="1")
    return hands


@pytest.fixture
def tessera(labelled, capsys):
    """Run a verb on the archive; give its status, its JSON, and what it said on stderr."""

    def call(*arguments, as_json=True):
        more = ["--archive", str(labelled.root), *(["--json"] if as_json else [])]
        status = run(["versions", *map(str, arguments), *more])
        out, err = capsys.readouterr()
        return status, json.loads(out) if as_json and out else out, err

    return call
