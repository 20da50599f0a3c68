from pipelines.labels.conflicts import LabelConflictError, find_conflicts
from pipelines.tables import to_table


def row(instance, label="right", state="given", segmentation="s1", **more):
    return {
        "particle_id": instance,
        "mosaic": "m",
        "instance": instance,
        "segmentation": segmentation,
        "label": label,
        "state": state,
        **more,
    }


def conflicts(seen, current, wanted):
    found = find_conflicts(*(to_table("labels", rows) for rows in (seen, current, wanted)))
    return found.to_pylist()


MINE = row(1, "left", "accepted")


def test_a_row_that_others_changed_otherwise_is_a_conflict():
    (found,) = conflicts([row(1)], [row(1, "none", "accepted")], [MINE])

    assert found == {
        "particle_id": 1, "mosaic": "m", "instance": 1,
        "seen_label": "right", "seen_state": "given",
        "their_label": "none", "their_state": "accepted",
        "my_label": "left", "my_state": "accepted",
    }  # fmt: skip


def test_a_row_that_nobody_else_changed_is_none():
    assert conflicts([row(1)], [row(1)], [MINE]) == []


def test_the_same_change_by_others_is_none():
    assert conflicts([row(1)], [row(1, "left", "accepted")], [MINE]) == []


def test_another_reason_is_none():
    assert conflicts([row(1)], [row(1, reason="looked again")], [MINE]) == []


def test_rows_that_came_or_went_meanwhile_are_conflicts():
    assert len(conflicts([], [row(1)], [MINE])) == 1
    assert len(conflicts([row(1)], [], [MINE])) == 1


def test_an_equal_row_of_another_segmentation_is_a_conflict():
    assert len(conflicts([row(1)], [row(1, segmentation="s2")], [MINE])) == 1


def test_the_error_names_the_first_conflicts_and_counts_the_others():
    wanted = [row(i, "left", "accepted") for i in range(1, 9)]
    found = find_conflicts(
        *(to_table("labels", rows) for rows in ([], [row(i) for i in range(1, 9)], wanted))
    )

    said = str(LabelConflictError(found))

    assert said.startswith("8 labels were changed by others since: m 1 (seen None None, now right")
    assert said.endswith("; and 3 more")
