import deltalake
import pytest

from pipelines import appending
from pipelines.appending import Appender
from pipelines.archive import create_archive
from pipelines.commits import guarded
from pipelines.tables import read_rows, table_version, to_table


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


@pytest.fixture(autouse=True)
def four_files_are_many(monkeypatch):
    monkeypatch.setattr(appending, "MAX_SMALL_FILES", 4)


def row(instance):
    return to_table("truth", [{"mosaic": "m", "truth_instance": instance}])


def instances(archive, **how):
    return sorted(read_rows(archive, "truth", **how)["truth_instance"].to_pylist())


def n_files(archive):
    return len(deltalake.DeltaTable(str(archive.table("truth"))).file_uris())


def test_files_are_joined_however_many_appends_there_are(archive):
    appender = Appender(archive, "truth")

    for instance in range(11):
        appender.append(row(instance))

    assert instances(archive) == list(range(11))
    assert n_files(archive) <= 4


def test_files_that_others_left_are_joined_too(archive):
    for instance in range(9):
        Appender(archive, "truth").append(row(instance))

    assert instances(archive) == list(range(9))
    assert n_files(archive) <= 4


def test_whoever_guards_commits_is_asked_before_files_are_joined(archive):
    asked = []
    appender = Appender(archive, "truth")

    with guarded(lambda: asked.append(None)):
        for instance in range(11):
            appender.append(row(instance))

    assert len(asked) > 11


def test_two_that_append_by_turns_lose_nothing(archive):
    one, other = Appender(archive, "truth"), Appender(archive, "truth")

    for instance in range(0, 20, 2):
        one.append(row(instance))
        other.append(row(instance + 1))

    assert instances(archive) == list(range(20))
    assert n_files(archive) <= 5


def test_versions_from_before_files_were_joined_can_still_be_read(archive):
    appender = Appender(archive, "truth")
    appender.append(row(0))
    appender.append(row(1))
    version = table_version(archive, "truth")

    for instance in range(2, 9):
        appender.append(row(instance))

    assert instances(archive, version=version) == [0, 1]


def test_large_files_are_left_alone(archive, monkeypatch):
    appender = Appender(archive, "truth")
    for instance in range(3):
        appender.append(row(instance))
    monkeypatch.setattr(appending, "SMALL_FILE_BYTES", 1)

    for instance in range(3, 9):
        appender.append(row(instance))

    assert n_files(archive) == 9


def test_rows_of_another_table_are_refused(archive):
    appender = Appender(archive, "truth")
    appender.append(row(0))

    with pytest.raises(ValueError, match="schema"):
        appender.append(to_table("ledger", [{"key": "k"}]))
