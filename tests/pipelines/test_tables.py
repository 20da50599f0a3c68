import pytest

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError
from pipelines.schemas import SCHEMAS
from pipelines.tables import (
    append_rows,
    has_table,
    read_rows,
    replace_rows,
    table_version,
    to_table,
)


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def rows(**mosaics):
    return to_table(
        "truth",
        [{"mosaic": m, "truth_instance": i} for m, instances in mosaics.items() for i in instances],
    )


def read(archive, **how):
    found = read_rows(archive, "truth", columns=["mosaic", "truth_instance"], **how)
    return sorted((row["mosaic"], row["truth_instance"]) for row in found.to_pylist())


def test_a_table_that_was_never_written_is_empty(archive):
    assert not has_table(archive, "particles")
    assert table_version(archive, "particles") is None
    assert read_rows(archive, "particles").schema == SCHEMAS["particles"]
    assert read_rows(archive, "particles", columns=["area_px"]).num_rows == 0


def test_appended_rows_are_added(archive):
    assert append_rows(archive, "truth", rows(m=[1])) == 0
    assert append_rows(archive, "truth", rows(m=[2], n=[1])) == 1

    assert read(archive) == [("m", 1), ("m", 2), ("n", 1)]
    assert read_rows(archive, "truth").schema == SCHEMAS["truth"]


def test_replacing_touches_the_rows_that_fulfil_the_condition_alone(archive):
    append_rows(archive, "truth", rows(m=[1, 2], n=[1]))

    replace_rows(archive, "truth", rows(m=[7]), where="mosaic = 'm'")

    assert read(archive) == [("m", 7), ("n", 1)]


def test_replacing_by_nothing_removes(archive):
    append_rows(archive, "truth", rows(m=[1, 2], n=[1]))

    replace_rows(archive, "truth", rows(), where="mosaic = 'm'")

    assert read(archive) == [("n", 1)]


def test_replacing_without_condition_replaces_all(archive):
    append_rows(archive, "truth", rows(m=[1, 2]))

    replace_rows(archive, "truth", rows(n=[3]), where=None)

    assert read(archive) == [("n", 3)]


def test_replacing_in_a_table_that_was_never_written_writes_it(archive):
    replace_rows(archive, "truth", rows(m=[1]), where="mosaic = 'm'")

    assert read(archive) == [("m", 1)]


def test_earlier_versions_stay_readable(archive):
    version = append_rows(archive, "truth", rows(m=[1]))
    replace_rows(archive, "truth", rows(m=[2]), where=None)

    assert read(archive, version=version) == [("m", 1)]
    assert table_version(archive, "truth") == 1


def test_rows_are_filtered(archive):
    append_rows(archive, "truth", rows(m=[1, 2], n=[1], o=[2]))

    assert read(archive, filters=[("mosaic", "in", ["m", "o"]), ("truth_instance", "=", 2)]) == [
        ("m", 2),
        ("o", 2),
    ]
    assert read(archive, filters=[("mosaic", "in", [])]) == []


@pytest.fixture
def older(archive, monkeypatch):
    """An archive whose table of truth was made before it had the column of labels."""
    now = SCHEMAS["truth"]
    monkeypatch.setitem(SCHEMAS, "truth", now.remove(now.get_field_index("label")))
    append_rows(archive, "truth", rows(m=[1]))
    monkeypatch.setitem(SCHEMAS, "truth", now)
    return archive


def test_columns_that_came_later_are_null_in_an_older_table(older):
    found = read_rows(older, "truth")

    assert found.schema == SCHEMAS["truth"]
    assert found["label"].to_pylist() == [None]


def test_an_older_table_takes_rows_with_columns_that_came_later(older):
    append_rows(older, "truth", to_table("truth", [{"mosaic": "n", "label": "left"}]))
    replace_rows(
        older, "truth", to_table("truth", [{"mosaic": "m", "label": "right"}]), where="mosaic = 'm'"
    )

    found = read_rows(older, "truth", columns=["mosaic", "label"]).to_pylist()
    assert {row["mosaic"]: row["label"] for row in found} == {"m": "right", "n": "left"}


@pytest.mark.parametrize("version", [1, 99, -1])
def test_a_version_that_does_not_exist_is_refused(archive, version):
    append_rows(archive, "truth", rows(m=[1]))

    with pytest.raises(ArchiveError, match=f"table truth cannot be read at version {version}"):
        read_rows(archive, "truth", version=version)


def test_no_version_of_a_table_that_was_never_written_exists(archive):
    with pytest.raises(ArchiveError, match="table labels has no version 0"):
        read_rows(archive, "labels", version=0)


def test_columns_make_a_table_whose_other_columns_are_null(archive):
    table = to_table("truth", {"mosaic": ["m", "n"], "truth_instance": [1, 2]})

    assert table.schema == SCHEMAS["truth"]
    assert table["label"].null_count == 2
    assert to_table("truth", []).num_rows == to_table("truth", {}).num_rows == 0


@pytest.mark.parametrize("columns", [{"mosiac": ["m"]}, [{"mosaic": "m"}, {"mosiac": "m"}]])
def test_a_misspelt_column_is_refused(columns):
    with pytest.raises(ValueError, match="table truth has no column 'mosiac'"):
        to_table("truth", columns)


def test_every_table_can_be_written_and_read(archive):
    for name, schema in SCHEMAS.items():
        append_rows(archive, name, schema.empty_table())
        assert read_rows(archive, name).schema == schema
