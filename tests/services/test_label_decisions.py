import pytest

from pipelines.archive import create_archive
from pipelines.errors import LabelError
from pipelines.labels.conflicts import LabelConflictError
from pipelines.tables import append_rows, to_table
from services.label_decisions import Decision, decide, release
from services.label_store import commit_labels, current_version, read_labels

WHO = {"author": "ada", "code_version": "0.1"}


def row(instance, label="right", state="given", **more):
    return {
        "particle_id": instance,
        "mosaic": "m",
        "instance": instance,
        "segmentation": "s1",
        "label": label,
        "state": state,
        "source": "rules",
        "method": "majority",
        **more,
    }


def commit(archive, *rows):
    return commit_labels(archive, to_table("labels", list(rows)), method="rules", run_id="", **WHO)


@pytest.fixture
def archive(tmp_path):
    """Four labels, two of them with a proposal."""
    archive = create_archive(tmp_path / "a")
    commit(archive, row(1), row(2), row(3), row(4))
    commit(archive, row(1, "left", "proposed"), row(2, "left", "proposed"))
    return archive


def label_of(archive, instance):
    rows = read_labels(archive, with_unlabelled=True).to_pylist()
    (found,) = [row for row in rows if row["instance"] == instance]
    return found["label"], found["state"], found["decided_by"]


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (Decision(1, "accept"), ("left", "accepted", "ada")),
        (Decision(1, "reject"), ("right", "rejected", "ada")),
        (Decision(1, "label", label="none"), ("none", "accepted", "ada")),
        (Decision(1, "undeterminable"), (None, "undeterminable", "ada")),
        (Decision(3, "flag"), ("right", "flagged", "ada")),
        (Decision(3, "accept"), ("right", "accepted", "ada")),
    ],
)
def test_a_decision_becomes_a_version(archive, decision, expected):
    made = decide(archive, [decision], **WHO)

    assert (made.version, made.method) == (2, "decisions")
    assert label_of(archive, decision.particle_id) == expected


def test_rejecting_a_proposal_finds_the_label_from_before_it_though_it_was_proposed_again(archive):
    commit(archive, row(1, "none", "proposed"))
    commit(archive, row(4, "left", "accepted"))

    decide(archive, [Decision(1, "reject")], **WHO)

    assert label_of(archive, 1) == ("right", "rejected", "ada")


def test_a_label_that_was_proposed_from_the_beginning_cannot_be_gone_back_to(archive):
    commit(archive, row(9, "left", "proposed"))

    with pytest.raises(LabelError, match="particle 9 had before the proposal is not known"):
        decide(archive, [Decision(9, "reject")], **WHO)


def test_a_particle_that_nobody_labelled_can_be_given_a_label(archive):
    where = {"mosaic": "m", "instance": 8, "segmentation": "s1"}
    append_rows(archive, "particles", to_table("particles", [{"particle_id": 8, **where}]))

    decide(archive, [Decision(8, "label", label="left")], **WHO)

    assert label_of(archive, 8) == ("left", "accepted", "ada")


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([], "nothing to decide"),
        ([Decision(1, "accept"), Decision(1, "reject")], "decided twice"),
        ([Decision(1, "perhaps")], "verdict must be one of accept, .*, got 'perhaps'"),
        ([Decision(1, "label")], "particle 1: the verdict 'label' needs a label"),
        ([Decision(1, "accept", label="left")], "no other takes one, got 'accept' with 'left'"),
        ([Decision(77, "accept")], "has no particle 77"),
        ([Decision(1, "label", label="<left>")], "a class is named by"),
    ],
)
def test_decisions_that_cannot_be_are_refused_and_nothing_is_written(archive, decisions, message):
    with pytest.raises(LabelError, match=message):
        decide(archive, decisions, **WHO)

    assert current_version(archive).version == 1


def test_a_label_that_somebody_changed_since_it_was_looked_at_is_a_conflict(archive):
    decide(archive, [Decision(1, "accept")], author="bob", code_version="0.1")

    with pytest.raises(LabelConflictError, match=r"m 1 \(seen left proposed, now left accepted"):
        decide(archive, [Decision(1, "flag"), Decision(2, "accept")], base=1, **WHO)

    assert label_of(archive, 2) == ("left", "proposed", None)


def test_conflicts_can_be_left_to_the_others_or_taken(archive):
    decide(archive, [Decision(1, "accept")], author="bob", code_version="0.1")
    mine = [Decision(1, "flag"), Decision(2, "accept")]

    decide(archive, mine, base=1, on_conflict="theirs", **WHO)

    assert label_of(archive, 1) == ("left", "accepted", "bob")
    assert label_of(archive, 2) == ("left", "accepted", "ada")

    decide(archive, mine[:1], base=1, on_conflict="mine", **WHO)

    assert label_of(archive, 1) == ("left", "flagged", "ada")


def test_two_people_who_decide_alike_are_no_conflict(archive):
    decide(archive, [Decision(1, "accept")], author="bob", code_version="0.1")

    made = decide(archive, [Decision(1, "accept")], base=1, **WHO)

    assert label_of(archive, 1)[:2] == ("left", "accepted")
    assert made.version == 3


def test_decided_labels_are_released_and_doubtful_and_weak_ones_are_not(archive):
    decide(archive, [Decision(1, "accept"), Decision(3, "undeterminable")], **WHO)

    made = release(archive, **WHO)

    states = {row["instance"]: row["state"] for row in _rows(archive)}
    assert states == {1: "released", 2: "proposed", 3: "released", 4: "given"}
    assert made.method == "release"
    assert label_of(archive, 1) == ("left", "released", "ada")


def test_weak_labels_are_released_on_request(archive):
    release(archive, include_given=True, **WHO)

    assert [row["state"] for row in _rows(archive)] == [
        "proposed", "proposed", "released", "released",
    ]  # fmt: skip


def test_with_nothing_decided_there_is_nothing_to_release(archive):
    with pytest.raises(LabelError, match="has no label to release: none is accepted, rejected"):
        release(archive, **WHO)


def test_a_released_label_changes_only_after_it_was_flagged(archive):
    decide(archive, [Decision(1, "accept")], **WHO)
    release(archive, **WHO)

    with pytest.raises(LabelError, match="particle 1 is released; it cannot become accepted"):
        decide(archive, [Decision(1, "label", label="right")], **WHO)

    decide(archive, [Decision(1, "flag")], **WHO)
    decide(archive, [Decision(1, "label", label="right")], **WHO)
    assert label_of(archive, 1) == ("right", "accepted", "ada")


def _rows(archive):
    return read_labels(archive, with_unlabelled=True).to_pylist()
