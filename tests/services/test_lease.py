import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError
from pipelines.ledger import Entry, append_entries, read_entries
from pipelines.places import place
from services import lease
from services.lock import LockedError, current_holder, hold
from services.lock_holder import this_process
from services.run_log import DONE, FAILED, last_runs

ENTRY = Entry("key", "segment", "m", "a")


#: Those that start no process of their own.
every_kind = pytest.mark.parametrize("store", ["s3", "gs", "az"], indirect=True)


@pytest.fixture
def archive(address):
    return create_archive(place(f"{address}/lab"))


def elsewhere():
    return replace(this_process(), host="another-machine", token="theirs")


def take_over(archive, holder):
    (archive.root / lease.FILE).write_text(json.dumps(asdict(holder)))


def test_a_second_driver_is_told_who_holds_the_archive(archive, holder):
    with pytest.raises(LockedError, match=f"is held by process {holder.pid} on .* since 20"):
        hold(archive).__enter__()

    assert current_holder(archive).pid == holder.pid


def test_the_archive_is_free_when_its_holder_ends(archive, holder):
    holder.communicate()

    assert current_holder(archive) is None
    with hold(archive):
        pass


def test_a_holder_that_was_killed_on_this_machine_is_not_waited_for(archive, holder, capsys):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    assert current_holder(archive) is None
    with hold(archive):
        pass
    assert "is taken over: it has died on this machine" in capsys.readouterr().err


@every_kind
def test_another_machine_is_waited_for_until_it_was_silent_for_long(archive, monkeypatch, capsys):
    take_over(archive, elsewhere())

    with pytest.raises(LockedError, match=r"on another-machine .* after 120 s without a sign"):
        hold(archive).__enter__()
    monkeypatch.setattr(lease, "SILENT_S", 0)
    with hold(archive):
        pass

    assert "is taken over: not heard of for" in capsys.readouterr().err


@every_kind
def test_of_many_that_ask_at_once_one_gets_it(archive):
    def ask(number):
        try:
            with lease.leased(archive, replace(this_process(), token=str(number))):
                time.sleep(1)
        except LockedError:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(ask, range(6))) == 1


@every_kind
def test_a_driver_that_lost_the_archive_commits_nothing_more(archive):
    with lease.leased(archive, this_process()) as held:
        append_entries(archive, [ENTRY])
        take_over(archive, elsewhere())
        held.renew()

        with pytest.raises(LockedError, match=r"was taken over by process .* on another-machine"):
            append_entries(archive, [replace(ENTRY, key="late")])

    assert read_entries(archive, "segment").keys() == {"key"}
    assert current_holder(archive).host == "another-machine"


@every_kind
def test_a_driver_that_lost_the_archive_is_stopped_in_the_middle_of_its_work(archive, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.05)

    def work():
        with hold(archive):
            take_over(archive, elsewhere())
            time.sleep(30)

    with pytest.raises(LockedError, match="was taken over by"):
        work()


@every_kind
def test_a_driver_that_cannot_renew_commits_nothing_and_says_so(archive, monkeypatch):
    with lease.leased(archive, this_process()) as held:
        monkeypatch.setattr(lease, "UNSURE_S", 0)
        monkeypatch.setattr(lease, "put_lease", unanswered)

        with pytest.raises(LockedError, match="not surely held any more: its bucket did not"):
            append_entries(archive, [ENTRY])

    assert held.is_lost


def unanswered(*_, **__):
    raise OSError(5, "no answer")


@every_kind
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_costs_nobody_the_archive(archive, store, when):
    with store.faults(cut="/.lock", when=when) as done:
        with lease.leased(archive, this_process()) as held:
            assert done()["cut"] == 1
        with (
            lease.leased(archive, this_process()) as held,
            store.faults(cut="/.lock", when=when) as done,
        ):
            held.renew()
            held.renew()
            assert done()["cut"] == 1
            assert not held.is_lost


@every_kind
def test_a_store_that_ignores_conditions_is_refused(archive, store):
    with store.faults(careless=True), pytest.raises(ArchiveError, match="ignores conditional req"):
        hold(archive).__enter__()


@every_kind
def test_runs_are_entered_in_the_archives_log(archive):
    with hold(archive) as run:
        run.conclude("made nothing")
    with pytest.raises(RuntimeError), hold(archive):
        raise RuntimeError("no disk")

    runs = last_runs(archive, 5)
    assert [run.how for run in runs] == [FAILED, DONE]
    assert runs[1].result == "made nothing"
    assert runs[0].pid == os.getpid()
