import pytest

from pipelines.labels.diff import diff_labels
from pipelines.tables import to_table


def row(instance, label="right", state="given", segmentation="s1", **more):
    return {
        "particle_id": instance,
        "mosaic": "m",
        "instance": instance,
        "segmentation": segmentation,
        "label": label,
        "state": state,
        "source": "rules",
        "method": "majority",
        **more,
    }


def diff(before, after):
    return diff_labels(to_table("labels", before), to_table("labels", after))


def transitions(found):
    return [tuple(row.values()) for row in found.transitions.to_pylist()]


def test_transitions_are_counted_by_label_and_state_the_most_frequent_first():
    before = [row(1), row(2), row(3), row(4)]
    after = [row(1), row(2, "left", "proposed"), row(3, None, "undeterminable")]
    after += [row(4, "left", "proposed")]

    found = diff(before, after)

    assert transitions(found) == [
        ("right", "given", "left", "proposed", 2),
        ("right", "given", None, "undeterminable", 1),
    ]
    assert found.n_same == 1
    assert found.changed["instance"].to_pylist() == [2, 3, 4]


def test_a_particle_that_comes_or_goes_has_no_state_on_the_other_side():
    found = diff([row(1), row(2)], [row(2), row(3, None)])

    assert transitions(found) == [
        ("right", "given", None, None, 1),
        (None, None, None, "given", 1),
    ]


def test_the_same_id_of_another_segmentation_is_another_particle():
    found = diff([row(1)], [row(1, segmentation="s2")])

    assert transitions(found) == [
        ("right", "given", None, None, 1),
        (None, None, "right", "given", 1),
    ]
    assert found.n_same == 0


def test_another_reason_or_confidence_is_touched_but_not_changed():
    before = [row(1, confidence=0.5), row(2, confidence=0.5), row(3)]
    after = [row(1, confidence=0.6), row(2, confidence=0.5), row(3, reason="looked again")]

    found = diff(before, after)

    assert (found.changed.num_rows, found.n_same, found.n_touched) == (0, 3, 2)


def test_a_confidence_that_is_not_known_differs_from_zero():
    assert diff([row(1, confidence=None)], [row(1, confidence=0.0)]).n_touched == 1


def test_shares_are_of_the_rows_with_a_label_with_their_intervals():
    before = [row(i) for i in range(1, 11)]
    after = [*before[:8], row(9, "left", "accepted"), row(10, None, "undeterminable")]

    left, right = diff(before, after).populations

    assert (left.label, right.label) == ("left", "right")
    assert (left.before.n_class, left.after.n_class, left.after.n_total) == (0, 1, 9)
    assert right.after.ratio == pytest.approx(8 / 9)
    assert right.after.low < 8 / 9 < right.after.high


def test_nothing_differs_between_a_version_and_itself():
    found = diff([row(1), row(2, None)], [row(2, None), row(1)])

    assert (found.transitions.num_rows, found.changed.num_rows, found.n_same) == (0, 0, 2)
