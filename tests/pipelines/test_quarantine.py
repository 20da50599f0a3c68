import json

from pipelines.archive import create_archive
from pipelines.quarantine import (
    Quarantined,
    list_quarantine,
    put_in_quarantine,
    release_from_quarantine,
)


def test_cases_are_listed_in_order(tmp_path):
    archive = create_archive(tmp_path / "a")
    cases = [
        Quarantined("segment", "m", "7", "it raised", attempts=3, details="Traceback"),
        Quarantined("ingest", "n", "b.tif", "not an image"),
        Quarantined("ingest", "n", "a.tif", "truncated"),
    ]

    for case in cases:
        put_in_quarantine(archive, case)

    assert list_quarantine(archive) == [cases[2], cases[1], cases[0]]


def test_a_case_can_be_read_without_tessera(tmp_path):
    archive = create_archive(tmp_path / "a")

    path = put_in_quarantine(archive, Quarantined("ingest", "n", "a.tif", "truncated"))

    assert json.loads(path.read_text())["reason"] == "truncated"


def test_the_newest_reason_of_a_unit_counts(tmp_path):
    archive = create_archive(tmp_path / "a")

    put_in_quarantine(archive, Quarantined("segment", "m", "7", "old"))
    put_in_quarantine(archive, Quarantined("segment", "m", "7", "new"))

    assert [case.reason for case in list_quarantine(archive)] == ["new"]


def test_units_that_a_file_name_cannot_tell_apart_stay_two(tmp_path):
    archive = create_archive(tmp_path / "a")
    units = ["../a b.tif", "../a_b.tif", "../a/b.tif", "x" * 200 + "1", "x" * 200 + "2"]

    for unit in units:
        put_in_quarantine(archive, Quarantined("ingest", "m", unit, "bad"))

    assert {case.unit for case in list_quarantine(archive)} == set(units)
    assert {path.parent for path in archive.quarantine.iterdir()} == {archive.quarantine}


def test_a_unit_that_was_processed_after_all_is_released(tmp_path):
    archive = create_archive(tmp_path / "a")
    put_in_quarantine(archive, Quarantined("segment", "m", "7", "bad"))
    put_in_quarantine(archive, Quarantined("segment", "m", "8", "bad"))

    release_from_quarantine(archive, "segment", "m", "7")
    release_from_quarantine(archive, "segment", "m", "7")

    assert [case.unit for case in list_quarantine(archive)] == ["8"]


def test_an_archive_without_the_folder_has_no_cases(tmp_path):
    archive = create_archive(tmp_path / "a")
    archive.quarantine.rmdir()

    assert list_quarantine(archive) == []
    put_in_quarantine(archive, Quarantined("ingest", "n", "a", "bad"))
    assert len(list_quarantine(archive)) == 1


def test_a_name_from_outside_does_not_choose_where_its_case_is_written(tmp_path):
    archive = create_archive(tmp_path / "a")

    for unit in ("../../up", "/etc/passwd", "..", "a\0b", "x" * 500):
        path = put_in_quarantine(archive, Quarantined("ingest", "../m", unit, "hostile"))

        assert path.parent == archive.quarantine
        assert path.resolve().parent == archive.quarantine.resolve()

    assert len(list_quarantine(archive)) == 5
