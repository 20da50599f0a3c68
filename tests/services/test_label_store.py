from concurrent.futures import ThreadPoolExecutor

import deltalake
import pytest

from pipelines.archive import create_archive
from pipelines.errors import LabelError
from pipelines.labels.table import digest_labels
from pipelines.tables import to_table
from services import label_store
from services.label_store import (
    commit_labels,
    current_version,
    find_version,
    list_versions,
    read_labels,
)


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def rows(*labels, mosaic="m", state="given"):
    offset = {"m": 0, "n": 1000}[mosaic]
    return to_table(
        "labels",
        [
            {
                "particle_id": offset + i,
                "mosaic": mosaic,
                "instance": i,
                "label": label,
                "state": state,
                "source": "rules",
                "method": "majority",
            }
            for i, label in enumerate(labels, 1)
        ],
    )


def commit(archive, table, **more):
    given = {"method": "rules", "author": "ada", "run_id": "r1", "code_version": "0.1"}
    return commit_labels(archive, table, **{**given, **more})


def test_a_commit_says_what_it_holds_and_who_made_it(archive):
    made = commit(
        archive,
        rows("right", None, "left"),
        mosaics=["m"],
        model_uri="models:/x/1",
        rules={"coverage": 0.5},
    )

    assert made.is_new
    assert (made.version, made.parent_version, made.parent_digest) == (0, None, None)
    assert (made.n_rows, made.n_labelled, made.mosaics) == (3, 2, ("m",))
    assert list_versions(archive) == [made]
    assert find_version(archive, 0).rules == {"coverage": 0.5}


def test_a_version_knows_its_parent_and_its_content(archive):
    first = commit(archive, rows("right"), mosaics=["m"])
    second = commit(archive, rows("left"), mosaics=["m"])

    assert (second.version, second.parent_version) == (1, 0)
    assert second.parent_digest == first.digest != second.digest
    for version in (first, second):
        content = read_labels(archive, version.version, with_unlabelled=True)
        assert digest_labels(content) == version.digest


def test_equal_content_makes_no_new_version(archive):
    first = commit(archive, rows("right", "left"), mosaics=["m"])

    again = commit(archive, rows("right", "left").take([1, 0]), mosaics=["m"], author="bob")

    assert not again.is_new
    assert (again.version, again.author) == (first.version, "ada")
    assert len(list_versions(archive)) == 1


def test_an_earlier_version_can_still_be_read(archive):
    commit(archive, rows("right", "right"), mosaics=["m"])
    commit(archive, rows("left"), mosaics=["m"])

    assert read_labels(archive, 0)["label"].to_pylist() == ["right", "right"]
    assert read_labels(archive)["label"].to_pylist() == ["left"]


def test_labels_of_other_mosaics_are_kept(archive):
    commit(archive, rows("right", mosaic="n"), mosaics=["n"])
    commit(archive, rows("left"), mosaics=["m"])

    assert read_labels(archive)["mosaic"].to_pylist() == ["m", "n"]


def test_decisions_survive_a_new_weak_labelling(archive):
    commit(archive, rows("right", "right"), mosaics=["m"])
    commit(archive, rows("left", state="accepted"))
    commit(archive, rows("right", "left"), mosaics=["m"])

    assert read_labels(archive)["label"].to_pylist() == ["left", "left"]
    assert read_labels(archive)["state"].to_pylist() == ["accepted", "given"]


def test_rows_without_a_label_are_read_on_request(archive):
    commit(archive, rows("right", None))

    assert read_labels(archive).num_rows == 1
    assert read_labels(archive, with_unlabelled=True).num_rows == 2


def test_before_the_first_commit_there_is_nothing(archive):
    assert read_labels(archive).num_rows == 0
    assert list_versions(archive) == []
    assert current_version(archive) is None


def test_a_version_that_does_not_exist_is_refused(archive):
    with pytest.raises(
        LabelError, match=r"version 3 does not exist in .*; nothing is labelled yet"
    ):
        read_labels(archive, 3)

    commit(archive, rows("right"))

    with pytest.raises(LabelError, match=r"version 3 does not exist in .*; versions are 0 to 0"):
        read_labels(archive, 3)


def test_rows_that_break_the_tables_rules_are_not_written(archive):
    with pytest.raises(LabelError, match="state must be one of"):
        commit(archive, rows("right", state="perhaps"))

    assert list_versions(archive) == []


def test_a_commit_in_between_is_merged_not_lost(archive, monkeypatch):
    commit(archive, rows("right"), mosaics=["m"])
    write = label_store.write_version
    others = [lambda: commit(archive, rows("left", mosaic="n"), mosaics=["n"])]

    def write_after_another(archive, merged, made):
        if others:
            others.pop()()
        return write(archive, merged, made)

    monkeypatch.setattr(label_store, "write_version", write_after_another)
    made = commit(archive, rows("left"), mosaics=["m"])

    assert made.version == 2
    assert read_labels(archive)["mosaic"].to_pylist() == ["m", "n"]


def test_two_first_commits_at_once_both_arrive(archive):
    tables = {"m": rows("right"), "n": rows("left", mosaic="n")}

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: commit(archive, tables[name], mosaics=[name]), tables))

    assert read_labels(archive)["mosaic"].to_pylist() == ["m", "n"]
    assert [v.version for v in list_versions(archive)] == [0, 1]


def test_deltas_own_upkeep_is_no_label_version(archive):
    commit(archive, rows("right"), mosaics=["m"])
    commit(archive, rows("right", mosaic="n"), mosaics=["n"])
    table = deltalake.DeltaTable(str(archive.table("labels")))
    table.alter.set_table_properties({"delta.appendOnly": "false"})

    made = commit(archive, rows("left"), mosaics=["m"])

    assert (made.version, made.parent_version) == (3, 1)
    assert [v.version for v in list_versions(archive)] == [0, 1, 3]


def test_old_versions_are_never_forgotten(archive):
    commit(archive, rows("right"))

    settings = deltalake.DeltaTable(str(archive.table("labels"))).metadata().configuration

    assert settings["delta.enableExpiredLogCleanup"] == "false"
    assert settings["delta.deletedFileRetentionDuration"] == "interval 36500 days"


def test_the_newest_versions_are_found_behind_much_upkeep(archive):
    commit(archive, rows("right"))
    commit(archive, rows("left"))
    for number in range(20):
        table = deltalake.DeltaTable(str(archive.table("labels")))
        table.alter.set_table_properties({"delta.appendOnly": "false" if number % 2 else "False"})

    assert [version.version for version in list_versions(archive, limit=1)] == [1]
    assert current_version(archive).version == 1


def test_files_of_mosaics_that_do_not_change_are_left_alone(archive):
    commit(archive, rows("right"))
    commit(archive, rows("right", mosaic="n"))
    before = set(deltalake.DeltaTable(str(archive.table("labels"))).file_uris())

    commit(archive, rows("left", mosaic="n", state="accepted"))

    after = set(deltalake.DeltaTable(str(archive.table("labels"))).file_uris())
    assert len(before & after) == 1
    assert len(after) == 2
