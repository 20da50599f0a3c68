import hashlib
import json
import os
from pathlib import Path

import pytest

from pipelines.archive import (
    FORMAT_VERSION,
    Archive,
    check_mosaic_name,
    create_archive,
    mosaic_key,
    open_archive,
    particle_id,
    write_text,
)
from pipelines.errors import ArchiveError


def test_a_new_archive_can_be_opened(tmp_path):
    made = create_archive(tmp_path / "deep" / "a")

    assert open_archive(tmp_path / "deep" / "a") == made
    assert made.mosaic_names() == []
    assert json.loads(made.description.read_text())["format_version"] == FORMAT_VERSION


def test_making_an_archive_again_opens_it(tmp_path):
    made = create_archive(tmp_path / "a")
    before = made.description.read_text()

    create_archive(tmp_path / "a")

    assert made.description.read_text() == before


def test_folders_that_a_killed_run_did_not_make_are_made(tmp_path):
    made = create_archive(tmp_path / "a")
    made.mosaics.rmdir()

    assert create_archive(tmp_path / "a").mosaics.is_dir()


def test_an_empty_folder_becomes_an_archive(tmp_path):
    assert create_archive(tmp_path).description.is_file()


def test_a_run_killed_while_it_made_the_archive_can_begin_again(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        create_archive(tmp_path / "a")
    monkeypatch.undo()
    assert any((tmp_path / "a").iterdir())

    assert create_archive(tmp_path / "a").mosaics.is_dir()


@pytest.mark.parametrize("content", ["folder", "file"])
def test_what_holds_something_else_is_not_made_an_archive(tmp_path, content):
    path = tmp_path / "a"
    if content == "folder":
        path.mkdir()
        (path / "thesis.tex").touch()
    else:
        path.touch()

    with pytest.raises(ArchiveError, match=r"a exists and is not an archive \(it has no archive"):
        create_archive(path)


def test_an_archive_cannot_lie_below_a_file(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ArchiveError, match="cannot be made: Not a directory"):
        create_archive(tmp_path / "file" / "a")


@pytest.mark.parametrize("make", [create_archive, open_archive])
def test_a_name_that_the_system_refuses_is_the_callers_mistake(tmp_path, make):
    with pytest.raises(ArchiveError, match="File name too long"):
        make(tmp_path / ("a" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_the_callers_mistake(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(ArchiveError, match="cannot be made: Permission denied"):
        create_archive(tmp_path / "a")


def test_a_full_disk_is_not_taken_for_a_bad_path(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)

    with pytest.raises(OSError, match="No space left") as caught:
        create_archive(tmp_path / "a")

    assert not isinstance(caught.value, ArchiveError)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, r"is not an archive \(no archive\.json\)"),
        ("{", "archive.json is damaged"),
        ("{}", "archive.json is damaged"),
        ("[]", "archive.json is damaged"),
        ('{"format_version": 99}', "has format version 99; this version reads 1"),
    ],
)
def test_what_is_not_an_archive_of_ours_cannot_be_opened(tmp_path, description, message):
    if description is not None:
        (tmp_path / "archive.json").write_text(description)

    with pytest.raises(ArchiveError, match=message):
        open_archive(tmp_path)


def test_an_archive_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(ArchiveError, match="none does not exist"):
        open_archive(tmp_path / "none")


def test_mosaics_that_are_not_whole_are_not_listed(tmp_path):
    archive = create_archive(tmp_path / "a")
    for name in ("b.ome.zarr", "a.ome.zarr", "notes", ".c.ome.zarr.partial"):
        (archive.mosaics / name).mkdir()
    for name in ("b.ome.zarr", "a.ome.zarr", ".c.ome.zarr.partial"):
        (archive.mosaics / name / "zarr.json").touch()
    (archive.mosaics / "half.ome.zarr").mkdir()

    assert archive.mosaic_names() == ["a", "b"]


@pytest.mark.parametrize("name", ["a", "run-07_b", "2024.01", "x" * 128])
def test_a_plain_name_can_name_a_mosaic(name):
    assert check_mosaic_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", "a/b", "/a", "../a", "-a", ".a", "a b", "ä", "a\n", "x" * 129]
)
def test_a_name_that_is_no_safe_path_cannot_name_a_mosaic(name):
    with pytest.raises(ArchiveError, match="mosaic name must be"):
        Archive(Path("a")).mosaic(name)


def test_ids_are_positive_and_keep_mosaic_and_instance_apart():
    ids = {particle_id(mosaic, i) for mosaic in ("m", "n") for i in (1, 2**32 - 1)}

    assert len(ids) == 4
    assert all(0 < i < 2**63 for i in ids)


def test_the_number_of_a_mosaic_never_changes():
    # Archives in use carry it in every particle's id.
    digest = hashlib.blake2b(b"\1\0\0\0\0\0\0\0m", digest_size=16).digest()
    assert mosaic_key("m") == int.from_bytes(digest[:4], "big") // 2 == 449185618


def test_a_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "t"
    write_text(path, "old")

    def fail(*_):
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no"):
        write_text(path, "new")

    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t"]


def test_a_relative_path_leads_to_the_archive_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert create_archive(Path("a")).root == tmp_path / "a"
    assert open_archive(Path("a")).mosaic("m").is_absolute()
