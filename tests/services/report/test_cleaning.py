from dataclasses import replace

import numpy as np
import pytest

from pipelines.labels.audit import CanaryReport
from pipelines.labels.issues import LabelIssues
from pipelines.labels.noise_estimate import NoiseEstimate
from pipelines.tables import read_rows
from services.cleaning.judging import judge_labels
from services.label_store import current_version
from services.report.cleaning import (
    found,
    headline,
    population,
    write_cleaning_report,
)
from services.report.cleaning_trust import estimated_noise, trust, truth_scores
from services.report.embedding import FigureFolder
from services.report.inputs import ReportInputs
from services.report.particles import read_particles

LEFT, RIGHT, UNKNOWN = 0, 1, -1
#: A fifth of the left-handed is labelled right, and nothing else is wrong.
NOISE = NoiseEstimate(
    joint=np.array([[0.4, 0.1], [0.0, 0.5]]),
    transition_matrix=np.array([[0.8, 0.2], [0.0, 1.0]]),
    error_rate=0.1,
    error_rate_interval=(0.05, 0.15),
    transition_interval=np.array([[[0.7, 0.1], [0.0, 0.9]], [[0.9, 0.3], [0.1, 1.0]]]),
)
COLUMNS = ["particle_id", "mosaic", "instance", "segmentation"]


@pytest.fixture
def archive(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right", "right", "left"])
    return scene.archive


@pytest.fixture
def judge(archive):
    """Judge the labels right, right, left of the scene's three particles."""

    def judge(prob_right, flagged=(), undeterminable=(), true=(UNKNOWN,) * 3, **more):
        given = np.array([RIGHT, RIGHT, LEFT])
        prob_right = np.array(prob_right)
        probs = np.stack([1 - prob_right, prob_right], axis=1)
        margins = probs[np.arange(3), given] - probs[np.arange(3), 1 - given]
        is_flagged = np.isin(np.arange(3), flagged)
        settings = {
            "classes": ["left", "right"],
            "rows": read_rows(archive, "particles", columns=COLUMNS).sort_by("particle_id"),
            "given_labels": given,
            "true_labels": np.array(true),
            "pred_probs": probs,
            "issues": LabelIssues(
                flagged=is_flagged,
                margins=margins,
                ranking=np.array(sorted(flagged, key=lambda row: margins[row]), dtype=int),
                proposed_labels=probs.argmax(axis=1),
                undeterminable=np.isin(np.arange(3), undeterminable),
                noise=NOISE,
            ),
            "reviewed": np.full(3, UNKNOWN),
            "n_truth_audited": 0,
            "precision": 0.95,
            "canaries": CanaryReport(0, 0, (np.nan, np.nan), np.nan),
            "seed": 0,
        }
        return judge_labels(**(settings | more))

    return judge


def show(archive, cleaning):
    figures = FigureFolder(archive.reports / "r")
    return found(archive, cleaning, read_particles(archive, ReportInputs()), figures)


def texts(section):
    return " ".join(block.text for block in section.blocks if block.kind == "text")


def tables(section):
    return {block.caption: block for block in section.blocks if block.kind == "table"}


def test_found_labels_are_shown_with_what_they_were_and_what_they_become(archive, judge):
    cleaning = judge([0.03, 0.9, 0.6], [0, 2], [2], true=(LEFT, RIGHT, UNKNOWN))

    proposals, undeterminable, table = show(archive, cleaning).blocks

    assert proposals.title == "the surest proposals"
    assert [crop.lines for crop in proposals.crops] == [["right → left", "0.97", "truth left"]]
    assert undeterminable.title == "undeterminable"
    assert [crop.lines for crop in undeterminable.crops] == [["left → ?", "0.60"]]
    assert table.rows == [
        ["left", "1", "100.0 %", "0", "0", "1", "0", "0"],
        ["right", "2", "50.0 %", "1", "0", "0", "0", "0"],
    ]


def test_where_nothing_is_found_the_report_says_so(archive, judge):
    section = show(archive, judge([0.9, 0.9, 0.1]))

    assert "Nothing speaks against any of the labels" in texts(section)


def test_the_noise_is_given_with_its_intervals(judge):
    section = estimated_noise(judge([0.9, 0.9, 0.1], true=(LEFT, RIGHT, LEFT)))

    (table,) = tables(section).values()
    assert table.head == ["truly", "of all", "labelled left", "labelled right"]
    assert table.rows[0] == [
        "left", "50.0 %", "80.0 % (70.0 to 90.0 %)", "20.0 % (10.0 to 30.0 %)",
    ]  # fmt: skip
    assert "wrong labels: 10.0 % (5.0 to 15.0 %)" in texts(section)
    assert "33.3 % of the 3 labels with known truth are wrong" in texts(section)


def test_flags_are_compared_with_the_truth(judge):
    cleaning = judge([0.1, 0.1, 0.1], [0, 1], true=(LEFT, RIGHT, LEFT))

    scores = {name: share for name, (share, _, _) in truth_scores(cleaning).items()}

    assert scores == pytest.approx(
        {"precision": 0.5, "recall": 1, "right_proposals": 0.5, "before": 1 / 3, "after": 1 / 3}
    )
    assert "Against the truth, where known" in tables(trust(cleaning))
    titles = {tile.title: tile.value for tile in headline(cleaning)}
    assert titles["precision"] == "50.0 %"
    assert titles["wrong labels, estimated"] == "10.0 %"
    assert titles["proposed for review"] == "2"


def test_without_truth_and_audit_the_report_says_what_that_means(judge):
    section = trust(judge([0.1, 0.9, 0.1], [0]))

    assert tables(section) == {}
    assert "No truth is known" in texts(section)
    assert "There was no audit, so that nothing was accepted without review" in texts(section)
    assert truth_scores(judge([0.1, 0.9, 0.1], [0])) == {}


def test_an_audit_is_shown_level_by_level(judge):
    cleaning = judge(
        [0.1, 0.2, 0.1], [0, 1], reviewed=np.array([LEFT, UNKNOWN, RIGHT]), precision=0.2
    )

    section = trust(cleaning)

    table = tables(section)["Audit of the proposals, from the surest"]
    assert table.rows == [
        ["0.800", "1", "1", "1", "100.0 %", "20.7 %", "yes"],
        ["0.600", "2", "1", "1", "100.0 %", "20.7 %", "yes"],
    ]
    assert "Of 1 audited labels that were not flagged, 1 are wrong" in texts(section)


def test_canaries_tell_the_recall_where_no_truth_does(judge):
    cleaning = judge([0.1, 0.9, 0.1], [0], canaries=CanaryReport(20, 18, (0.7, 0.97), 0.93))

    assert "20 labels were made wrong for the training, and 18 of them found" in texts(
        trust(cleaning)
    )
    assert {tile.title: tile.value for tile in headline(cleaning)}["recall, by canaries"] == (
        "93.0 %"
    )


def test_the_population_is_shown_before_and_after(archive, judge):
    section = population(judge([0.1, 0.9, 0.1], [0]), FigureFolder(archive.reports / "r"))

    figure, table, _ = section.blocks
    assert figure.alt.startswith("Share of right among left and right: given labels 66.7 %")
    assert "cleaned labels 33.3 %" in figure.alt
    assert "truth" not in figure.alt
    assert table.rows == [
        ["left", "33.3 %", "66.7 %", "-"],
        ["right", "66.7 %", "33.3 %", "-"],
    ]


def test_the_page_asks_nothing_of_the_outside_and_trusts_no_name(archive, judge):
    version = current_version(archive)
    cleaning = replace(judge([0.1, 0.9, 0.1], [0]), classes=["<b>left</b>", "right"])

    path = write_cleaning_report(
        archive,
        cleaning,
        cleaned=version,
        made=version,
        settings={"folds": 5, "seed": 0},
        run_id="r1",
        notes=["too sure of itself"],
    )

    page = path.read_text(encoding="utf-8")
    assert path == archive.reports / "clean-r1.html"
    assert "&lt;b&gt;left" in page
    assert "<b>" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "folds = 5" in page
    assert "too sure of itself" in page
    assert 'id="show-outlines"' not in page
