"""Nights that fail, that have nothing to do, or that another one keeps out."""

import sys

import pytest
from mlflow import MlflowClient

from pipelines.archive import open_archive
from pipelines.errors import SettingsError
from services.lock import LockedError, hold
from services.nightly.journal import read_journal
from services.tracking import store_uri
from services.verbs import relabel

MAIL = "import sys; open({file!r}, 'a').write(sys.stdin.read())"


@pytest.fixture
def flags(tmp_path):
    """Flags of a night whose failures are mailed into a file."""
    script = tmp_path / "mail.py"
    script.write_text(MAIL.format(file=str(tmp_path / "mails")))
    (tmp_path / "scans").mkdir()
    return {
        "archive": tmp_path / "lab",
        "watch_dir": (tmp_path / "scans",),
        "assume": "right",
        "run_id": "night",
        "mail_command": f"{sys.executable} {script}",
    }


def run(flags, **others):
    return relabel.execute(relabel.Settings.load("relabel", None, {**flags, **others}))


def mails(tmp_path):
    path = tmp_path / "mails"
    return path.read_text().count("tessera relabel failed") if path.exists() else 0


def test_a_night_before_the_first_image_has_nothing_to_do(flags, tmp_path):
    outcome = run(flags)

    assert outcome.status == 0
    assert outcome.values["changes"] == 0
    assert read_journal(open_archive(flags["archive"]), "night").status == "done"
    assert mails(tmp_path) == 0


def test_a_night_that_fails_is_seen_everywhere_and_told_once(flags, tmp_path):
    (tmp_path / "scans").rmdir()

    for _ in range(2):
        with pytest.raises(SettingsError, match="scans does not exist"):
            run(flags)

    archive = open_archive(flags["archive"])
    journal = read_journal(archive, "night")
    reason = f"SettingsError: --watch-dir: folder {tmp_path / 'scans'} does not exist"
    assert (journal.status, journal.reason) == ("failed", reason)
    assert journal.attempts == 2
    page = (archive.reports / "night-night.html").read_text(encoding="utf-8")
    assert "The night failed: SettingsError: --watch-dir" in page
    assert mails(tmp_path) == 1
    store = MlflowClient(store_uri(archive, None))
    (experiment,) = store.search_experiments(filter_string="name = 'tessera'")
    tracked = store.search_runs([experiment.experiment_id])[0]
    assert tracked.info.status == "FAILED"
    assert tracked.data.tags["reason"] == reason
    assert tracked.data.tags["night"] == "night"


def test_a_failed_night_is_done_when_its_cause_is_gone(flags, tmp_path):
    (tmp_path / "scans").rmdir()
    with pytest.raises(SettingsError):
        run(flags)
    (tmp_path / "scans").mkdir()

    outcome = run(flags)

    assert outcome.values["run_id"] == "night"
    journal = read_journal(open_archive(flags["archive"]), "night")
    assert (journal.status, journal.attempts) == ("done", 2)


def test_without_a_run_id_a_failed_night_goes_on(flags, tmp_path):
    (tmp_path / "scans").rmdir()
    with pytest.raises(SettingsError):
        run(flags)
    (tmp_path / "scans").mkdir()

    assert run(flags, run_id=None).values["run_id"] == "night"
    assert run(flags, run_id=None).values["run_id"] != "night"


def test_an_archive_that_is_held_keeps_the_night_out_and_leaves_no_trace(flags, tmp_path):
    run(flags)
    archive = open_archive(flags["archive"])
    with hold(archive), pytest.raises(LockedError, match="is held by"):
        run(flags, run_id="another")

    assert read_journal(archive, "another") is None
    assert mails(tmp_path) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_id": "../up"}, "--run-id must be"),
        ({"margin": 1.5}, "--margin"),
        ({"assume": None}, "one of --assume CLASS"),
        (
            {"defect_model": "defects@candidate"},
            "--defect-model must be NAME@champion or NAME/VERSION",
        ),
        ({"refit_segmenter": True}, "needs --segment-method learned:NAME, got 'otsu'"),
        (
            {"refit_segmenter": True, "segment_method": "learned:grains@champion"},
            "needs --segment-method learned:NAME, got 'learned:grains@champion'",
        ),
        (
            {"refit_segmenter": True, "segment_method": "learned:classifier"},
            "must not have the classifier's name",
        ),
        (
            {"refit_segmenter": True, "segment_method": "learned:grains"},
            "--refit-segmenter needs --segmenter-truth",
        ),
        (
            {
                "refit_segmenter": True,
                "segment_method": "learned:grains",
                "segmenter_truth": "nowhere",
            },
            "--segmenter-truth",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_an_archive_is_made(flags, given, message):
    with pytest.raises(SettingsError, match=message):
        run(flags, **given)

    assert not flags["archive"].exists()
