import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipelines.archive import create_archive
from pipelines.tables import append_rows, to_table
from services.label_store import commit_labels
from services.nightly.changes import Change, Snapshot
from services.nightly.journal import Journal, StepRecord
from services.nightly.plans import Plan
from services.report.nightly import write_night_report

AT = "2026-11-25T02:00:00+00:00"
SPREADS = {"diameter (nm)": {"n": 50, "low": 90.0, "middle": 100.0, "high": 110.0, "error": 2.0}}


@pytest.fixture
def archive(tmp_path):
    """An archive with a label, and with a night before this one."""
    archive = create_archive(tmp_path / "lab")
    row = {
        "particle_id": 7, "mosaic": "a", "instance": 1, "segmentation": "s", "label": "right",
        "state": "given", "source": "assumed", "method": "assume",
    }  # fmt: skip
    commit_labels(
        archive, to_table("labels", [row]), method="assume", author="ada", run_id="",
        code_version="1",
    )  # fmt: skip
    night = {
        "run_id": "before", "started": datetime(2026, 11, 24, 2, tzinfo=UTC), "mosaics": ["a"],
        "population": json.dumps(SPREADS), "drift": "[]",
    }  # fmt: skip
    append_rows(archive, "nights", to_table("nights", [night]))
    return archive


PLAN = Plan(
    (Change("file", "/scans/<b>.tif", "new"),),
    Snapshot(),
    Snapshot(champion="models:/classifier/1"),
    (),
)


def night(**steps):
    """A journal whose steps gave back the given values."""
    journal = Journal("2026-11-25", started=AT, attempts=1)
    for name, values in steps.items():
        journal = journal.with_step(StepRecord(name, "i", "output-digest", 2.5, AT, values))
    return journal


COMPARISON = {
    "name": "trusted", "n_particles": 60, "n_classes": 2, "candidate": 0.95, "champion": 0.9,
    "difference": 0.05, "low": 0.01, "high": 0.09,
}  # fmt: skip
STEPS = {
    "ingest": {"mosaics": 1, "new": ["b"]},
    "label": {"version": 0, "learn": True},
    "clean": {"version": 0, "digest": "d", "cleaned": True, "error_rate": 0.125},
    "train": {"uri": "models:/classifier/2", "start": "models:/classifier/1", "particles": 40},
    "judge": {
        "promote": True, "why": "better by +5.0 points", "comparisons": [COMPARISON],
        "candidate": "models:/classifier/2", "margin": 0.01, "unfit": ["z"],
    },
    "promote": {"champion": "models:/classifier/2", "promoted": True},
    "population": {
        "spreads": SPREADS, "flagged": ["diameter (nm)"],
        "drifts": [{"measure": "diameter (nm)", "psi": 0.6, "psi_limit": 0.25, "z": None,
                    "flagged": True}],
    },
}  # fmt: skip


def text_of(path):
    return path.read_text(encoding="utf-8")


def test_a_whole_night_is_told(archive):
    page = write_night_report(archive, night(**STEPS), PLAN)

    text = text_of(page)
    assert page == archive.reports / "night-2026-11-25.html"
    assert "Candidate: better by +5.0 points." in text
    assert "+5.0 (+1.0 to +9.0)" in text
    assert "promoted tonight" in text
    assert "Wrong labels, estimated: 12.5 %." in text
    assert "The population has drifted: diameter (nm)." in text
    assert "A model does not fit the pixel sizes or classes of z" in text
    figures = {path.name for path in (archive.reports / "night-2026-11-25").iterdir()}
    assert figures == {"gain.png", "drift.png"}


def test_names_from_outside_are_escaped(archive):
    text = text_of(write_night_report(archive, night(**STEPS), PLAN))

    assert "/scans/<b>.tif" not in text
    assert "/scans/&lt;b&gt;.tif" in text


def test_a_night_that_came_not_far_tells_what_there_is(archive):
    page = write_night_report(
        archive, night(ingest=STEPS["ingest"]), PLAN, notes=["The night failed: OSError: no"]
    )

    text = text_of(page)
    assert "The night failed: OSError: no" in text
    assert "new mosaics" in text
    assert "Candidate and champion" not in text


def test_a_night_that_failed_before_its_plan_has_a_page_too(archive):
    page = write_night_report(
        archive, Journal("x", started=AT), None, notes=["The night failed: no"]
    )

    assert "The night failed: no" in text_of(page)


def test_a_first_champion_is_compared_with_chance(archive):
    against_chance = {**COMPARISON, "champion": None}
    judged = {**STEPS["judge"], "comparisons": [against_chance], "margin": 0.0}

    text = text_of(write_night_report(archive, night(**{**STEPS, "judge": judged}), PLAN))

    assert "gain over chance" in text


def test_a_set_without_particles_is_left_out(archive):
    nothing = {**COMPARISON, "name": "newest", "n_particles": 0}
    nothing |= dict.fromkeys(("candidate", "champion", "difference", "low", "high"))
    judged = {**STEPS["judge"], "comparisons": [COMPARISON, nothing]}

    text = text_of(write_night_report(archive, night(**{**STEPS, "judge": judged}), PLAN))

    assert "trusted, n = 60" in text or "trusted" in text
    assert "newest, n = 0" not in text


def test_a_quiet_night_says_that_nothing_was_new(archive):
    assert "Nothing." in text_of(write_night_report(archive, night(), replace(PLAN, changes=())))
