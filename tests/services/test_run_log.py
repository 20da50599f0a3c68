import pytest

from pipelines.archive import create_archive
from services import lock
from services.lock import current_holder, hold
from services.run_log import last_runs


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def test_a_run_that_ends_well_says_what_it_came_to(archive):
    with hold(archive) as run:
        run.conclude("nothing new")

    (last,) = last_runs(archive, 5)
    assert (last.how, last.reason, last.result) == ("done", "", "nothing new")
    assert last.began <= last.ended


def fail(archive, error):
    with hold(archive):
        raise error


@pytest.mark.parametrize(
    ("error", "how", "reason"),
    [
        (ValueError("no\nway"), "failed", "ValueError: no way"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt:"),
        (ValueError("http://ada:secret@lab is out"), "failed", "ValueError: http://***@lab is out"),
    ],
)
def test_a_run_that_breaks_off_says_how_and_why(archive, error, how, reason):
    with pytest.raises(type(error)):
        fail(archive, error)

    (last,) = last_runs(archive, 5)
    assert (last.how, last.reason) == (how, reason)


def test_a_run_that_goes_on_is_running_and_one_that_never_ended_died(archive):
    with hold(archive):
        while_running = last_runs(archive, 5, holder=current_holder(archive))
        later = last_runs(archive, 5, holder=None)

    assert [run.how for run in while_running] == ["running"]
    assert [run.how for run in later] == ["died"]


def test_the_newest_come_first_and_no_more_than_asked_for(archive):
    for word in ("one", "two", "three"):
        with hold(archive) as run:
            run.conclude(word)

    assert [run.result for run in last_runs(archive, 2)] == ["three", "two"]


def test_a_line_that_was_never_finished_costs_itself_alone(archive):
    with hold(archive) as run:
        run.conclude("first")
    with (archive.root / "runs.jsonl").open("a") as file:
        file.write('{"at": "2026-')
    with hold(archive) as run:
        run.conclude("second")

    assert [run.result for run in last_runs(archive, 5)] == ["second", "first"]


def test_a_run_that_was_refused_is_no_run(archive):
    with hold(archive), pytest.raises(lock.LockedError):
        hold(archive).__enter__()

    assert len(last_runs(archive, 5)) == 1


def test_an_archive_without_runs_has_none(archive):
    assert last_runs(archive, 5) == []
