import os
from pathlib import Path

import pytest

from pipelines.errors import LabelError
from pipelines.labels.rules import MEASUREMENTS, read_rules

ROUND = """
[[rules]]
name = "round"
expression = "eccentricity < 0.6 and area_nm2 > 2e4"
label = "nucleus"
weight = 2
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "r.toml"
        path.write_text(text)
        return read_rules(path)

    return read


def test_rules_are_read_in_order(read):
    first, second = read(ROUND + '[[rules]]\nname="b"\nexpression="touches_edge"\nlabel="cut"')

    assert (first.name, first.label, first.weight) == ("round", "nucleus", 2.0)
    assert first.condition.columns == ("area_nm2", "eccentricity")
    assert (second.name, second.label, second.weight) == ("b", "cut", 1.0)


def test_measurements_can_be_named_and_identities_cannot():
    assert MEASUREMENTS["mean_intensity"] == "number"
    assert MEASUREMENTS["low_contrast"] == "condition"
    assert not {"particle_id", "instance", "mosaic", "segmentation"} & set(MEASUREMENTS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no rules; each is a table [[rules]]"),
        ("rules = []", "no rules"),
        ("rules = 3", "no rules"),
        ("rules = [3]", "rule 1 must be a table, got 3"),
        ("[[rule]]\nname='a'", "unknown key 'rule'; rules are tables [[rules]]"),
        ("[[rules]\n", "is not TOML"),
        ("[[rules]]\nlabel='a'", "rule 1: name must be 1 to 60 letters, got None"),
        ("[[rules]]\nname=' '", "rule 1: name must be"),
        ("[[rules]]\nname='a\\u0007'".replace("'", '"'), "rule 1: name must be"),
        ("[[rules]]\nname='a'\nlabel='b'", "rule 'a': expression must be a text, got None"),
        ("[[rules]]\nname='a'\nexpression='True'\nlabel=1", "rule 'a': label must be a text"),
        ("[[rules]]\nname='a'\nexpression='True'\nlabel=''", "rule 'a': a class is named by"),
        ("[[rules]]\nname='a'\nexpression='x > 1'\nlabel='b'", "rule 'a': character 1: unknown"),
        ("[[rules]]\nname='a'\nwieght=1", "rule 'a': unknown key 'wieght'"),
        (ROUND.replace("= 2", "= 0"), "weight must be a positive number, got 0"),
        (ROUND.replace("= 2", "= inf"), "weight must be a positive number, got inf"),
        (ROUND.replace("= 2", "= nan"), "weight must be a positive number, got nan"),
        (ROUND.replace("= 2", "= true"), "weight must be a positive number, got True"),
        (ROUND.replace("= 2", "= '2'"), "weight must be a positive number, got '2'"),
        (ROUND + ROUND, "two rules are named 'round'"),
        (ROUND + "#" * 2**20, "is larger than 1048576 bytes"),
        ("a=" + "[" * 5000, "is not TOML"),
    ],
)
def test_a_broken_file_is_refused_in_one_line_that_names_it(read, text, problem):
    with pytest.raises(LabelError) as caught:
        read(text)

    assert problem in str(caught.value)
    assert "r.toml" in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LabelError, match=r"rules file .*none\.toml does not exist"):
        read_rules(tmp_path / "none.toml")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(LabelError, match="cannot be read: Is a directory"):
        read_rules(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe\x00" + os.urandom(20))

    with pytest.raises(LabelError, match="is not TOML"):
        read_rules(tmp_path / "r.toml")


@pytest.mark.parametrize("name", ["nuclei.toml", "particles.toml"])
def test_the_example_rules_can_be_read(name):
    rules = read_rules(Path(__file__).parent / "rules" / name)

    assert len({rule.label for rule in rules}) > 2
