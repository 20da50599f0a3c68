import pytest

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError, SettingsError
from services.selection import select_mosaics


@pytest.fixture
def archive(tmp_path):
    archive = create_archive(tmp_path / "a")
    for name in ("run-1", "run-2", "test"):
        archive.mosaic(name).mkdir()
        (archive.mosaic(name) / "zarr.json").touch()
    return archive


def test_all_mosaics_are_chosen_by_default(archive):
    selection = select_mosaics(archive)

    assert (selection.chosen, selection.held_out) == (("run-1", "run-2", "test"), ())


def test_several_globs_choose_what_any_of_them_matches(archive):
    assert select_mosaics(archive, ["*-2", "t?st", "*2"]).chosen == ("run-2", "test")


def test_what_is_held_out_is_never_chosen(archive):
    selection = select_mosaics(archive, ["run-1", "test"], ["test", "run-2"])

    assert (selection.chosen, selection.held_out) == (("run-1",), ("run-2", "test"))


@pytest.mark.parametrize(
    ("globs", "message"),
    [
        ({"patterns": ["run-1", "Run*"]}, r"--mosaic: no mosaic of .*a matches 'Run\*'"),
        ({"hold_out": ["tets"]}, "--hold-out: no mosaic of .*a matches 'tets'"),
        ({"patterns": ["run-*"], "hold_out": ["*"]}, "all of the 2 chosen mosaics are held out"),
    ],
)
def test_globs_that_cannot_be_meant_are_refused(archive, globs, message):
    with pytest.raises(SettingsError, match=message):
        select_mosaics(archive, **globs)


def test_an_archive_without_mosaics_is_refused(tmp_path):
    archive = create_archive(tmp_path / "empty")

    with pytest.raises(ArchiveError, match="has no mosaics; `tessera ingest` makes them"):
        select_mosaics(archive, ["x"])
