import numpy as np
import pytest

from pipelines.archive import particle_id
from pipelines.evaluation.instances import count_shared_pixels
from pipelines.labels.succession import find_succession, succeed_labels
from pipelines.labels.table import check_labels
from pipelines.tables import to_table

OLD = [
    "aaaa..bbbb..cc.dd..ee...",
    "aaaa..bbbb..cc.dd..ee...",
    "aaaa..bbbb..cc.dd..ee...",
]
NEW = [
    ".yyy..xxzz..wwwww...v..u",
    "yyyy..xxzz..wwwww.......",
    "yyyy..xxzz..wwwww.......",
]


def image(lines):
    """Draw instances: letters are ids, a to z 1 to 26."""
    return np.array(
        [[0 if sign == "." else ord(sign) - ord("a") + 1 for sign in line] for line in lines]
    )


def names(ids):
    return "".join(sorted(chr(ord("a") + int(i) - 1) for i in ids))


@pytest.fixture
def succession():
    return find_succession(count_shared_pixels(image(OLD), image(NEW)))


def row(letter, label="right", state="accepted", **more):
    instance = ord(letter) - ord("a") + 1
    return {
        "particle_id": particle_id("m", instance),
        "mosaic": "m",
        "instance": instance,
        "segmentation": "s1",
        "label": label,
        "state": state,
        "source": "person",
        "method": "label",
        "decided_by": "ada",
        "confidence": 1.0,
        **more,
    }


def succeed(succession, *rows):
    found = succeed_labels(
        to_table("labels", list(rows)), succession, mosaic="m", segmentation="s2"
    )
    check_labels(found)
    return {names([r["instance"]]): r for r in found.to_pylist()}


def test_every_pair_is_told_what_became_of_it(succession):
    pairs = zip(succession.old, succession.new, succession.kind, strict=True)

    assert {(names([old]) + names([new]), str(kind)) for old, new, kind in pairs} == {
        ("ay", "carried"),
        ("bx", "split"),
        ("bz", "split"),
        ("cw", "merged"),
        ("dw", "merged"),
        ("ev", "unsure"),
    }
    assert names(succession.newcomers) == "u"
    assert names(succession.lost) == ""


def test_a_particle_that_is_no_more_is_lost(succession):
    found = find_succession(count_shared_pixels(image(["aa.b"]), image(["cc.."])))

    assert (names(found.lost), names(found.newcomers)) == ("b", "")


def test_the_same_particle_keeps_label_state_and_who_decided(succession):
    found = succeed(succession, row("a", "left"))

    assert found == {
        "y": {
            **row("y", "left"),
            "segmentation": "s2",
            "reason": None,
        }
    }


def test_pieces_are_flagged_with_the_label_of_the_whole(succession):
    found = succeed(succession, row("b", "left"))

    assert {(r["label"], r["state"], r["decided_by"]) for r in found.values()} == {
        ("left", "flagged", None)
    }
    assert sorted(found) == ["x", "z"]
    assert found["x"]["reason"] == "split from left by a new segmentation"


def test_merged_particles_are_flagged_with_the_label_of_the_largest_labelled_part(succession):
    both = succeed(succession, row("c", "left"), row("d", "right"))
    one = succeed(succession, row("d", "right"))

    assert (both["w"]["label"], both["w"]["state"]) == ("left", "flagged")
    assert both["w"]["reason"] == "merged from left, right by a new segmentation"
    assert (one["w"]["label"], one["w"]["state"]) == ("right", "flagged")


def test_what_is_much_smaller_than_before_is_flagged(succession):
    assert succeed(succession, row("e"))["v"]["state"] == "flagged"


def test_undeterminable_pieces_are_flagged_without_a_label(succession):
    found = succeed(succession, row("b", None, "undeterminable"))

    assert (found["x"]["label"], found["x"]["state"]) == (None, "flagged")


def test_abstentions_stay_abstentions(succession):
    found = succeed(succession, row("b", None, "given"))

    assert (found["x"]["label"], found["x"]["state"]) == (None, "given")


def test_newcomers_get_no_label_though_an_earlier_particle_had_their_number(succession):
    found = succeed(succession, row("a"), row("u", "left"))

    assert sorted(found) == ["y"]


def test_without_labels_there_is_nothing_to_carry(succession):
    assert succeed(succession) == {}
