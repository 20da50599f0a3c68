import pyarrow as pa
import pytest

from pipelines.errors import LabelError
from pipelines.labels.changes import merge_labels
from pipelines.labels.table import FOLLOWERS, check_class_name, check_labels, digest_labels
from pipelines.tables import to_table


def row(instance, label="right", state="given", mosaic="m", **more):
    offset = {"m": 0, "n": 1000}[mosaic]
    return {
        "particle_id": offset + instance,
        "mosaic": mosaic,
        "instance": instance,
        "segmentation": "s1",
        "label": label,
        "state": state,
        "source": "rules",
        "method": "majority",
        **more,
    }


def labels(*rows):
    return to_table("labels", rows)


def short(table):
    return [(r["mosaic"], r["instance"], r["label"], r["state"]) for r in table.to_pylist()]


def test_a_new_weak_labelling_replaces_the_mosaics_given_rows():
    current = labels(row(1), row(2), row(3, mosaic="n"))

    merged = merge_labels(current, labels(row(2, "left")), anew=["m"])

    assert short(merged) == [("m", 2, "left", "given"), ("n", 3, "right", "given")]


def test_weak_labels_never_replace_a_decision():
    current = labels(row(1, "left", "accepted"), row(2, None, "undeterminable"))

    merged = merge_labels(current, labels(row(1), row(2), row(3)), anew=["m"])

    assert short(merged) == [
        ("m", 1, "left", "accepted"),
        ("m", 2, None, "undeterminable"),
        ("m", 3, "right", "given"),
    ]


def test_a_decision_replaces_the_particles_row_alone():
    merged = merge_labels(labels(row(1), row(2)), labels(row(1, "left", "flagged")))

    assert short(merged) == [("m", 1, "left", "flagged"), ("m", 2, "right", "given")]


def test_a_particle_without_a_row_can_be_decided():
    merged = merge_labels(labels(), labels(row(5, "left", "accepted")))

    assert short(merged) == [("m", 5, "left", "accepted")]


def test_a_state_that_may_not_follow_is_refused():
    current = labels(row(4, "left", "accepted"))

    with pytest.raises(LabelError, match="particle 4 is accepted; it cannot become proposed"):
        merge_labels(current, labels(row(4, "right", "proposed")))


def test_decisions_on_an_earlier_segmentation_go_when_the_mosaic_is_labelled_anew():
    current = labels(row(1, "left", "accepted"), row(2, "left", "accepted", mosaic="n"))

    merged = merge_labels(current, labels(row(1, segmentation="s2")), anew=["m"])

    assert short(merged) == [("m", 1, "right", "given"), ("n", 2, "left", "accepted")]


def test_decisions_stay_when_a_mosaic_is_labelled_anew_without_any_row():
    current = labels(row(1, "left", "accepted"), row(2))

    assert short(merge_labels(current, labels(), anew=["m"])) == [("m", 1, "left", "accepted")]


def test_every_state_may_stay_as_it_is():
    assert all(state in followers for state, followers in FOLLOWERS.items())


def test_every_decision_can_be_reconsidered():
    reached = {state: {state} for state in FOLLOWERS}
    for _ in FOLLOWERS:
        for states in reached.values():
            states.update(*[FOLLOWERS[state] for state in states])

    assert all("flagged" in states for states in reached.values())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(1, state="perhaps"), "state must be one of given, .*, got 'perhaps'"),
        (row(1, label=None, state="accepted"), "a row in state accepted must have a label"),
        (row(1, label=""), "label rows: a class is named by"),
        (row(1, confidence=1.5), r"confidence must be 0 to 1, got 1\.5"),
        (row(1, confidence=float("nan")), "confidence must be 0 to 1, got nan"),
        (row(1) | {"source": None}, "source must not be null"),
        (row(0), "particle_id must be unique, got 0 twice"),
    ],
)
def test_rows_that_break_a_rule_are_refused(bad, message):
    with pytest.raises(LabelError, match=message):
        check_labels(labels(row(0), bad))


def test_rows_without_all_columns_are_refused():
    with pytest.raises(LabelError, match="label rows must have the columns particle_id, mosaic"):
        check_labels(pa.table({"particle_id": [1]}))


def test_abstentions_are_rows_without_a_label():
    check_labels(labels(row(0, None), row(1, None, "undeterminable")))


@pytest.mark.parametrize("name", ["right", "nucleus 2", "A.b-c_d+e", "x" * 63])
def test_a_class_can_be_named(name):
    assert check_class_name(name, "--assume") == name


@pytest.mark.parametrize("name", ["", " right", "right ", "-x", "x" * 64, "a\nb", "<b>", "naïve"])
def test_a_class_cannot_be_named(name):
    with pytest.raises(LabelError, match=r"^--assume: a class is named by"):
        check_class_name(name, "--assume")


def test_the_digest_does_not_know_the_order_of_rows():
    assert digest_labels(labels(row(1), row(2))) == digest_labels(labels(row(2), row(1)))
    assert digest_labels(labels(row(1), row(2))) != digest_labels(labels(row(1), row(2, "left")))
