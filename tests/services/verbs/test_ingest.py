import cv2
import numpy as np
import pytest
import tifffile

from pipelines.archive import open_archive
from pipelines.errors import ArchiveError, SettingsError, StorageFullError
from pipelines.ledger import read_entries
from pipelines.mosaic import converter, converter_child, publication
from pipelines.mosaic.converter import Converted
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.quarantine import list_quarantine
from pipelines.tables import read_rows, table_version
from services.verbs.ingest import Settings, execute


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """Convert here, for speed; tests that want the real children say so."""
    if "real_children" in request.keywords or "real_children" in request.fixturenames:
        return
    monkeypatch.setattr(converter_child, "limit_memory", lambda *sizes: 0)

    def convert_all(jobs, *, n_children):
        for job in jobs:
            event = converter_child.work(dict(job.__dict__), lambda **event: None)
            if event["event"] == "full":
                raise StorageFullError("no space left on the disk")
            again = bool(event.get("again"))
            yield Converted(job, event.get("info"), event.get("reason", ""), again)

    monkeypatch.setattr(converter, "convert_all", convert_all)


@pytest.fixture
def real_children():
    """Use child processes, as users do."""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, name in enumerate(["a", "b", "c"]):
        tifffile.imwrite(folder / f"{name}.tif", np.full((20, 30), 50 + i, "uint8"))
    return folder


def ingest(tmp_path, *sources, **settings):
    settings.setdefault("pixel_size_nm", 2.0)
    return execute(Settings(archive=tmp_path / "archive", sources=sources, **settings))


def test_a_folder_of_images_becomes_mosaics(tmp_path, images):
    outcome = ingest(tmp_path, images)

    archive = open_archive(tmp_path / "archive")
    assert outcome.line() == "ingested mosaics=3 unchanged=0 megapixels=0"
    assert outcome.status == 0
    assert archive.mosaic_names() == ["a", "b", "c"]
    assert (open_mosaic(archive.mosaic("b")).level(0)[...] == 51).all()
    assert {e.status for e in read_entries(archive, "ingest").values()} == {"done"}


def test_what_was_ingested_is_not_ingested_again(tmp_path, images, monkeypatch):
    ingest(tmp_path, images)
    tifffile.imwrite(images / "d.tif", np.ones((5, 5), "uint8"))

    outcome = ingest(tmp_path, images)

    assert outcome.values == {"mosaics": 1, "unchanged": 3, "megapixels": 0.0}


def test_a_damaged_file_is_quarantined_and_the_others_go_on(tmp_path, images, capsys):
    (images / "b.tif").write_bytes((images / "b.tif").read_bytes()[:-100])

    outcome = ingest(tmp_path, images)

    archive = open_archive(tmp_path / "archive")
    assert (outcome.status, outcome.values["mosaics"]) == (3, 2)
    assert archive.mosaic_names() == ["a", "c"]
    (case,) = list_quarantine(archive)
    assert (case.stage, case.mosaic, case.unit) == ("ingest", "b", str(images / "b.tif"))
    assert "does not lie in the file" in case.reason
    assert "b: quarantined: strip or tile 0" in capsys.readouterr().err


def test_a_mended_file_leaves_quarantine(tmp_path, images):
    whole = (images / "b.tif").read_bytes()
    (images / "b.tif").write_bytes(whole[:-100])
    ingest(tmp_path, images)
    (images / "b.tif").write_bytes(whole)

    outcome = ingest(tmp_path, images)

    assert (outcome.status, outcome.values["mosaics"]) == (0, 1)
    assert list_quarantine(open_archive(tmp_path / "archive")) == []


def test_a_file_that_stays_damaged_is_counted_but_not_read_again(tmp_path, images):
    (images / "b.tif").write_bytes(b"II*\0")
    ingest(tmp_path, images)
    before = table_version(open_archive(tmp_path / "archive"), "ledger")

    outcome = ingest(tmp_path, images)

    assert (outcome.status, outcome.values["unchanged"]) == (3, 2)
    assert table_version(open_archive(tmp_path / "archive"), "ledger") == before


def test_changed_content_under_the_same_name_overwrites_nothing(tmp_path, images):
    ingest(tmp_path, images)
    before = open_mosaic(open_archive(tmp_path / "archive").mosaic("a")).info.digest
    tifffile.imwrite(images / "a.tif", np.zeros((9, 9), "uint8"))

    outcome = ingest(tmp_path, images)

    archive = open_archive(tmp_path / "archive")
    assert outcome.status == 3
    assert open_mosaic(archive.mosaic("a")).info.digest == before
    assert "never overwrites" in list_quarantine(archive)[0].reason


def test_an_unknown_pixel_size_is_quarantined_until_it_is_allowed(tmp_path, images):
    refused = ingest(tmp_path, images, pixel_size_nm=None)
    allowed = ingest(tmp_path, images, pixel_size_nm=None, allow_unknown_pixel_size=True)

    assert (refused.status, refused.n_quarantined) == (3, 3)
    assert (allowed.status, allowed.values["mosaics"]) == (0, 3)


def test_truth_comes_with_the_images(tmp_path, images):
    maps = tmp_path / "maps"
    maps.mkdir()
    ids = np.zeros((20, 30), "uint16")
    ids[2:4, 5:8] = 3
    for name in ("a", "c"):
        cv2.imwrite(str(maps / f"{name}.png"), ids)

    ingest(tmp_path, images, truth=maps)

    rows = read_rows(open_archive(tmp_path / "archive"), "truth").to_pylist()
    assert sorted((r["mosaic"], r["truth_instance"], r["area_px"]) for r in rows) == [
        ("a", 3, 6),
        ("c", 3, 6),
    ]


def test_a_crash_before_the_ledger_is_written_loses_and_doubles_nothing(
    tmp_path, images, monkeypatch
):
    maps = tmp_path / "maps"
    maps.mkdir()
    cv2.imwrite(str(maps / "a.png"), np.ones((20, 30), "uint8"))
    with monkeypatch.context() as crash:
        crash.setattr(publication, "append_entries", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest(tmp_path, images, truth=maps)

    outcome = ingest(tmp_path, images, truth=maps)

    archive = open_archive(tmp_path / "archive")
    assert outcome.status == 0
    assert archive.mosaic_names() == ["a", "b", "c"]
    assert read_rows(archive, "truth").num_rows == 1
    assert len(read_entries(archive, "ingest")) == 3


def test_a_crash_before_mosaics_are_in_place_is_made_good(tmp_path, images, monkeypatch):
    maps = tmp_path / "maps"
    maps.mkdir()
    cv2.imwrite(str(maps / "a.png"), np.ones((20, 30), "uint8"))
    with monkeypatch.context() as crash:
        crash.setattr(publication, "release_from_quarantine", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest(tmp_path, images, truth=maps)

    outcome = ingest(tmp_path, images, truth=maps)

    assert outcome.status == 0
    assert read_rows(open_archive(tmp_path / "archive"), "truth").num_rows == 1


def test_batches_are_published_as_they_fill(tmp_path, images, monkeypatch):
    monkeypatch.setattr(publication, "BATCH", 2)

    ingest(tmp_path, images)

    # Three files, two commits: versions 0 and 1.
    assert table_version(open_archive(tmp_path / "archive"), "ledger") == 1


def test_a_full_disk_leaves_no_half_written_mosaic(tmp_path, images, monkeypatch):
    def full(job, report):
        return {"event": "full", "reason": "No space left on device"}

    monkeypatch.setattr(converter_child, "work", full)

    with pytest.raises(StorageFullError, match="no space left"):
        ingest(tmp_path, images)

    archive = open_archive(tmp_path / "archive")
    assert archive.mosaic_names() == []
    assert not (archive.scratch / "ingest").exists()


def test_what_was_finished_before_an_interruption_is_kept(tmp_path, images, monkeypatch):
    finish = converter.convert_all

    def interrupted(jobs, *, n_children):
        yield from finish(jobs[:2], n_children=n_children)
        raise KeyboardInterrupt

    monkeypatch.setattr(converter, "convert_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest(tmp_path, images)

    archive = open_archive(tmp_path / "archive")
    assert archive.mosaic_names() == ["a", "b"]
    assert len(read_entries(archive, "ingest")) == 2


def test_leftovers_of_a_killed_run_are_removed(tmp_path, images):
    ingest(tmp_path, images / "a.tif")
    archive = open_archive(tmp_path / "archive")
    leftover = archive.scratch / "ingest" / "old.ome.zarr"
    leftover.parent.mkdir(parents=True)
    write_mosaic(leftover, np.ones((2, 2), "uint8"), pixel_size_nm=None)

    ingest(tmp_path, images)

    assert not (archive.scratch / "ingest").exists()
    assert archive.mosaic_names() == ["a", "b", "c"]


def test_planes_left_out_and_other_pixel_sizes_are_mentioned(tmp_path, capsys):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        np.zeros((3, 8, 8), "uint8"),
        photometric="minisblack",
        resolution=(1e6, 1e6),
        resolutionunit=3,
    )

    ingest(tmp_path, path, pixel_size_nm=2.0)

    said = capsys.readouterr().err
    assert "stack: took the first of 3 pages" in said
    assert "stack: --pixel-size-nm 2 was taken, the file says 10" in said


def test_a_wrong_path_makes_no_archive(tmp_path, images):
    for sources, truth in [
        ((), None),
        ((tmp_path / "no.tif",), None),
        ((images,), tmp_path / "no maps"),
    ]:
        with pytest.raises(SettingsError):
            ingest(tmp_path, *sources, truth=truth)

    assert not (tmp_path / "archive").exists()


def test_a_folder_that_is_no_archive_is_left_alone(tmp_path, images):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "letter.txt").write_text("dear")

    with pytest.raises(ArchiveError, match="is not an archive"):
        ingest(tmp_path, images)


def test_nothing_to_ingest_is_nothing_to_do_for_the_main_job(tmp_path, images):
    from services.verbs.ingest import perform

    ingest(tmp_path, images)
    settings = Settings(archive=tmp_path / "archive")

    assert perform(open_archive(tmp_path / "archive"), settings).values["mosaics"] == 0


def test_real_children_bring_the_same_mosaics(tmp_path, images, real_children):
    outcome = ingest(tmp_path, images)

    archive = open_archive(tmp_path / "archive")
    expected = write_mosaic(
        tmp_path / "x.ome.zarr", np.full((20, 30), 52, "uint8"), pixel_size_nm=2.0
    )
    assert outcome.values["mosaics"] == 3
    assert open_mosaic(archive.mosaic("c")).info.digest == expected.digest


def test_every_file_that_crashed_another_reader_is_read_or_quarantined(tmp_path, shared_data):
    """59 TIFFs found by fuzzing. The one that is read was compared with libtiff's answer."""
    folders = sorted((shared_data / "corrupt-tiff").iterdir())

    outcome = ingest(tmp_path, *folders)

    archive = open_archive(tmp_path / "archive")
    cases = list_quarantine(archive)
    assert outcome.values["mosaics"] + len(cases) == 59
    assert all(len(case.reason) > 10 and "\n" not in case.reason for case in cases)
    for name in archive.mosaic_names():
        (path,) = (shared_data / "corrupt-tiff").glob(f"*/{name.replace('_', '?')}")
        blue, green, red = np.moveaxis(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), -1, 0)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        difference = open_mosaic(archive.mosaic(name)).level(0)[...] - luma
        assert np.abs(difference).max() <= 0.51
