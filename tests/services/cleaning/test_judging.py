import json

import numpy as np
import pytest

from pipelines.labels.audit import CanaryReport
from pipelines.labels.issues import LabelIssues, NoiseEstimate
from pipelines.labels.table import check_labels
from pipelines.tables import to_table
from services.cleaning.judging import judge_labels
from services.cleaning.rows import to_report, to_rows

LEFT, RIGHT, NOBODY, NEITHER = 0, 1, -1, 2
NOISE = NoiseEstimate(np.eye(2) / 2, np.eye(2), 0.1, (0.05, 0.15), np.stack([np.eye(2)] * 2))
NO_CANARIES = CanaryReport(0, 0, (float("nan"), float("nan")), float("nan"))


def judge(given, prob_right, flagged, *, undeterminable=(), reviewed=None, true=None, **more):
    """Judge labels of as many particles, numbered from 0."""
    given, prob_right = np.array(given), np.array(prob_right, dtype=float)
    n = len(given)
    probs = np.stack([1 - prob_right, prob_right], axis=1)
    margins = probs[np.arange(n), given] - probs[np.arange(n), 1 - given]
    is_flagged = np.isin(np.arange(n), flagged)
    issues = LabelIssues(
        flagged=is_flagged,
        margins=margins,
        ranking=np.flatnonzero(is_flagged)[np.argsort(margins[is_flagged])],
        proposed_labels=probs.argmax(axis=1),
        undeterminable=np.isin(np.arange(n), undeterminable),
        noise=NOISE,
    )
    rows = to_table(
        "labels",
        [{"particle_id": i, "mosaic": "m", "instance": i, "segmentation": "s"} for i in range(n)],
    ).select(["particle_id", "mosaic", "instance", "segmentation"])
    settings = {
        "classes": ["left", "right"],
        "rows": rows,
        "given_labels": given,
        "true_labels": np.full(n, NOBODY) if true is None else np.array(true),
        "pred_probs": probs,
        "issues": issues,
        "reviewed": np.full(n, NOBODY) if reviewed is None else np.array(reviewed),
        "n_truth_audited": 0,
        "precision": 0.95,
        "canaries": NO_CANARIES,
        "seed": 0,
    }
    return judge_labels(**(settings | more))


def test_without_an_audit_flags_become_proposals_and_nothing_is_accepted():
    judged = judge(
        [RIGHT, RIGHT, LEFT, LEFT, RIGHT],
        [0.1, 0.9, 0.8, 0.55, 0.6],
        [0, 2, 3, 4],
        undeterminable=[3],
    )

    assert judged.states.tolist() == ["proposed", "given", "proposed", "undeterminable", "flagged"]
    assert judged.cleaned_labels.tolist() == [LEFT, RIGHT, RIGHT, NOBODY, RIGHT]
    assert judged.threshold is None


def sure_and_unsure():
    """A hundred sure proposals, all right, and a hundred unsure ones, of which half are."""
    prob_right = np.concatenate([np.linspace(0.01, 0.1, 100), np.linspace(0.2, 0.4, 100)])
    true = [LEFT] * 100 + [LEFT, RIGHT] * 50
    return [RIGHT] * 200, prob_right, range(200), true


def test_proposals_are_accepted_above_the_score_that_the_truth_allows():
    given, prob_right, flagged, true = sure_and_unsure()

    judged = judge(given, prob_right, flagged, true=true, n_truth_audited=200)

    assert judged.states[:100].tolist() == ["accepted"] * 100
    assert (judged.states[101:] == "proposed").all()
    assert judged.threshold == pytest.approx(0.8)
    assert judged.levels[4].n_right == judged.levels[4].n_audited == 100


def test_an_audit_of_few_is_not_enough_to_accept_anything():
    given, prob_right, flagged, true = sure_and_unsure()

    judged = judge(given, prob_right, flagged, true=true, n_truth_audited=40)

    assert judged.threshold is None
    assert set(judged.states) == {"proposed"}
    assert judged.levels[-1].n_audited == 40


def test_truth_of_labels_that_were_not_flagged_tells_what_was_missed():
    judged = judge([RIGHT] * 10, [0.9] * 10, [], true=[LEFT] * 2 + [RIGHT] * 8, n_truth_audited=10)

    assert judged.missed == (2, 10)


def test_what_a_person_said_stands():
    judged = judge(
        [RIGHT, RIGHT, RIGHT, RIGHT, RIGHT],
        [0.1, 0.1, 0.1, 0.9, 0.9],
        [0, 1, 2],
        reviewed=[LEFT, RIGHT, NEITHER, LEFT, RIGHT],
    )

    assert judged.states.tolist() == ["accepted", "rejected", "undeterminable", "accepted", "given"]
    assert judged.cleaned_labels.tolist() == [LEFT, RIGHT, NOBODY, LEFT, RIGHT]
    assert judged.levels[-1].n_audited == 3
    assert judged.levels[-1].n_right == 1
    assert judged.missed == (1, 2)


def test_scores_against_the_truth():
    judged = judge(
        [RIGHT, RIGHT, RIGHT, LEFT, LEFT, LEFT],
        [0.1, 0.2, 0.9, 0.1, 0.6, 0.1],
        [0, 1, 4],
        undeterminable=[4],
        true=[LEFT, RIGHT, LEFT, LEFT, RIGHT, NOBODY],
    )

    scores = judged.against_truth()

    assert scores == pytest.approx(
        {
            "n_truth": 5,
            "true_error_rate": 3 / 5,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "right_proposals": 1 / 2,
            "error_rate_after": 2 / 4,
        }
    )
    assert judge([RIGHT, LEFT], [0.9, 0.1], []).against_truth() == {}


def test_the_population_before_and_after():
    judged = judge([RIGHT] * 4, [0.1, 0.9, 0.9, 0.5], [0, 3], undeterminable=[3])

    shares = judged.population(RIGHT)

    assert shares["given labels"][0] == 1
    assert shares["cleaned labels"][0] == pytest.approx(2 / 3)
    assert np.isnan(shares["truth, where known"][0])


def rows_of(judged, newest=None):
    newest = np.full(len(judged.states), "given") if newest is None else np.array(newest)
    return to_rows(judged, newest, method="both")


def test_rows_say_what_was_given_and_what_is_likelier():
    judged = judge(
        [RIGHT, RIGHT, LEFT, RIGHT], [0.1, 0.9, 0.55, 0.2], [0, 2, 3], undeterminable=[2],
        reviewed=[NOBODY, NOBODY, NOBODY, LEFT],
    )  # fmt: skip

    rows = rows_of(judged)

    check_labels(rows)
    proposed, undeterminable, accepted = rows.to_pylist()
    assert (proposed["particle_id"], proposed["label"], proposed["state"]) == (
        0, "left", "proposed",
    )  # fmt: skip
    assert proposed["reason"] == "given right (0.100); likeliest left (0.900)"
    assert (proposed["source"], proposed["method"], proposed["decided_by"]) == (
        "clean", "both", "clean",
    )  # fmt: skip
    assert proposed["confidence"] == pytest.approx(0.9)
    assert (undeterminable["label"], undeterminable["state"]) == (None, "undeterminable")
    assert (accepted["label"], accepted["decided_by"], accepted["confidence"]) == (
        "left", "audit", 1.0,
    )  # fmt: skip


def test_what_was_decided_in_the_meantime_is_left_alone():
    judged = judge([RIGHT] * 5, [0.1] * 5, range(5))

    rows = rows_of(judged, ["given", "accepted", "rejected", "proposed", ""])

    assert rows["particle_id"].to_pylist() == [0, 3]


def test_the_report_is_json_even_where_nothing_is_known():
    judged = judge([RIGHT, LEFT], [0.1, 0.1], [0])

    report = json.loads(json.dumps(to_report(judged), allow_nan=False))

    assert report["n_proposed"] == 1
    assert report["n_flagged_in_all"] == 1
    assert report["error_rate_interval"] == [0.05, 0.15]
    assert report["canaries"]["recall"] is None
    assert report["audit"][0]["lower_bound"] is None
    assert report["accepted_from_score"] is None
