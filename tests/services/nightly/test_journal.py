import pytest

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError
from services.nightly.journal import (
    DONE,
    RUNNING,
    Journal,
    StepRecord,
    list_journals,
    read_journal,
    write_journal,
)


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def step(name, given="i1", **values):
    return StepRecord(name, given, f"o-{name}", 1.5, "2026-11-25T02:00:00+00:00", values)


def test_a_journal_comes_back_as_it_was_written(archive):
    journal = Journal("2026-11-25", started="2026-11-25T02:00:00+00:00")
    journal = journal.with_step(step("ingest", mosaics=3))

    write_journal(archive, journal)

    assert read_journal(archive, "2026-11-25") == journal


def test_a_run_that_never_began_has_no_journal(archive):
    assert read_journal(archive, "2026-11-25") is None
    assert list_journals(archive) == []


def test_a_step_counts_as_done_with_the_same_input_alone():
    journal = Journal("n").with_step(step("ingest", given="i1", mosaics=3))

    assert journal.find("ingest", "i1").values == {"mosaics": 3}
    assert journal.find("ingest", "i2") is None
    assert journal.find("segment", "i1") is None


def test_a_step_that_is_done_again_has_one_record():
    journal = Journal("n").with_step(step("ingest", given="i1", mosaics=3))
    journal = journal.with_step(step("ingest", given="i2", mosaics=4))

    assert [record.input for record in journal.steps] == ["i2"]
    assert journal.values("ingest") == {"mosaics": 4}
    assert journal.output("ingest") == "o-ingest"
    assert journal.output("segment") == ""


def test_journals_are_listed_in_the_order_in_which_runs_began(archive):
    for run_id, hour in (("b", 1), ("a", 2), ("c", 3)):
        write_journal(archive, Journal(run_id, started=f"2026-11-25T0{hour}:00:00+00:00"))

    assert [journal.run_id for journal in list_journals(archive)] == ["b", "a", "c"]


def test_an_end_says_how_it_ended():
    ended = Journal("n").ended(DONE, "", {"mosaics": 1})

    assert Journal("n").status == RUNNING
    assert (ended.status, ended.result) == (DONE, {"mosaics": 1})
    assert ended.finished


def test_a_damaged_journal_is_named(archive):
    write_journal(archive, Journal("n"))
    (archive.root / "nights" / "n.json").write_text("{")

    with pytest.raises(ArchiveError, match=r"journal .*n\.json is damaged"):
        list_journals(archive)
