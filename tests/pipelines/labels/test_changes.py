import pytest

from pipelines.errors import LabelError
from pipelines.labels.changes import changes_between, plan_changes
from pipelines.labels.table import digest_labels
from pipelines.tables import to_table


def row(instance, label="right", state="given", mosaic="m", segmentation="s1"):
    return {
        "particle_id": {"m": 0, "n": 1000}[mosaic] + instance,
        "mosaic": mosaic,
        "instance": instance,
        "segmentation": segmentation,
        "label": label,
        "state": state,
        "source": "rules",
        "method": "majority",
    }


def labels(*rows):
    return to_table("labels", rows)


def short(table):
    return [(r["instance"], r["label"], r["state"]) for r in table.to_pylist()]


def test_a_row_that_is_replaced_goes_and_comes_and_others_do_neither():
    changes = plan_changes(labels(row(1), row(2)), labels(row(1, "left", "proposed")))

    assert short(changes.gone) == [(1, "right", "given")]
    assert short(changes.come) == [(1, "left", "proposed")]
    assert changes.dropped_ids.to_pylist() == []


def test_rows_that_are_there_already_change_nothing():
    changes = plan_changes(labels(row(1), row(2)), labels(row(2), row(1)), anew=["m"])

    assert not changes


def test_a_mosaic_that_is_labelled_anew_loses_its_other_given_rows():
    current = labels(row(1), row(2, "left", "accepted"), row(3, mosaic="n"))

    changes = plan_changes(current, labels(row(4)), anew=["m"])

    assert changes.dropped_ids.to_pylist() == [1]
    assert short(changes.come) == [(4, "right", "given")]


def test_the_digest_after_changes_is_that_of_the_changed_table():
    current = labels(row(1), row(2), row(3))

    changes = plan_changes(current, labels(row(2, None, "undeterminable")), anew=["m"])

    after = labels(row(2, None, "undeterminable"))
    assert changes.digest_after(digest_labels(current)) == digest_labels(after)
    assert changes.count_after(3, 3) == (1, 0)


def test_the_way_back_has_the_digest_of_before():
    before, after = labels(row(1), row(2)), labels(row(2, "left", "accepted"), row(3))

    there, back = changes_between(before, after), changes_between(after, before)

    assert there.digest_after(digest_labels(before)) == digest_labels(after)
    assert back.digest_after(digest_labels(after)) == digest_labels(before)


def test_exchanging_two_particles_labels_changes_the_digest():
    one = labels(row(1, "left"), row(2, "right"))
    other = labels(row(1, "right"), row(2, "left"))

    assert digest_labels(one) != digest_labels(other)


@pytest.mark.parametrize("state", ["given", "proposed", "accepted"])
def test_a_decision_on_another_segmentation_is_never_taken_for_this_particles(state):
    current = labels(row(1, "left", "accepted", segmentation="s1"))

    with pytest.raises(LabelError, match="mosaic m has decided labels of segmentation s1"):
        plan_changes(current, labels(row(1, "right", state, segmentation="s2")))


def test_a_weak_label_of_another_segmentation_gives_way_and_its_state_binds_nobody():
    current = labels(row(1, "left", "given", segmentation="s1"))

    changes = plan_changes(current, labels(row(1, "right", "released", segmentation="s2")))

    assert short(changes.come) == [(1, "right", "released")]
