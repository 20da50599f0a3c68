import json
import shutil

import numpy as np
import pytest
import tifffile

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from pipelines.ledger import DONE, QUARANTINED, Entry, append_entries
from pipelines.mosaic import ingest_plan
from pipelines.mosaic.ingest_plan import find_truth_maps, plan_ingest
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.mosaic.sources import find_sources


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "archive")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((4, 4), "uint8"))
    return path


def plan(archive, *paths, pixel_size_nm=1.0, truth=None):
    return plan_ingest(
        archive,
        find_sources(paths),
        pixel_size_nm=pixel_size_nm,
        allow_unknown_pixel_size=False,
        truth=truth or {},
        folder=archive.scratch,
    )


def only_key(made):
    (key,) = made.sources
    return key


def put_mosaic(archive, name, key):
    acquisition = {"source": {"key": key}}
    write_mosaic(
        archive.mosaic(name), np.ones((4, 4), "uint8"), pixel_size_nm=1.0, acquisition=acquisition
    )


def write_down(archive, made, status, **result):
    key = only_key(made)
    kept = json.dumps({**json.loads(made.stamps[key]), **result})
    append_entries(archive, [Entry(key, "ingest", "a", "a.tif", status=status, result=kept)])


def test_a_new_file_is_a_job(archive, image):
    (job,) = plan(archive, image).jobs

    assert (job.source, job.kind, job.name) == (str(image), "tiff", "a")
    assert job.folder == str(archive.scratch)


def test_an_equal_file_ingested_before_is_done(archive, image):
    made = plan(archive, image)
    put_mosaic(archive, "a", only_key(made))
    write_down(archive, made, DONE)

    again = plan(archive, image)

    assert [s.name for s in again.done] == ["a"]
    assert again.jobs == []


def test_a_file_that_did_not_change_is_not_read_again(archive, image, monkeypatch):
    write_down(archive, plan(archive, image), DONE)
    monkeypatch.setattr(ingest_plan, "source_digest", lambda path: pytest.fail(f"read {path}"))

    assert len(plan(archive, image).jobs) == 1


def test_a_mosaic_that_was_removed_is_made_again(archive, image):
    made = plan(archive, image)
    put_mosaic(archive, "a", only_key(made))
    write_down(archive, made, DONE)
    shutil.rmtree(archive.mosaic("a"))

    assert len(plan(archive, image).jobs) == 1


def test_a_mosaic_the_ledger_lost_is_known_again(archive, image):
    key = only_key(plan(archive, image))
    put_mosaic(archive, "a", key)

    again = plan(archive, image)

    assert [(k, s.name) for k, s in again.adopted.items()] == [(key, "a")]
    assert (again.jobs, again.refused) == ([], [])


@pytest.mark.parametrize("change", ["content", "settings", "truth"])
def test_another_mosaic_of_the_same_name_is_never_overwritten(archive, image, tmp_path, change):
    made = plan(archive, image)
    put_mosaic(archive, "a", only_key(made))
    write_down(archive, made, DONE)
    if change == "content":
        tifffile.imwrite(image, np.zeros((5, 5), "uint8"))

    again = plan(
        archive,
        image,
        pixel_size_nm=2.0 if change == "settings" else 1.0,
        truth={"a": image} if change == "truth" else {},
    )

    (refused,) = again.refused
    assert "the archive has a mosaic a of other content" in refused.reason
    assert again.jobs == []


def test_a_file_refused_for_good_is_not_tried_again(archive, image):
    write_down(archive, plan(archive, image), QUARANTINED)

    again = plan(archive, image)

    assert [s.name for s in again.still_refused] == ["a"]
    assert again.jobs == []


def test_a_file_refused_for_a_passing_reason_is_tried_again(archive, image):
    write_down(archive, plan(archive, image), QUARANTINED, again=True)

    assert len(plan(archive, image).jobs) == 1


def test_a_refused_file_that_changed_is_tried_again(archive, image):
    write_down(archive, plan(archive, image), QUARANTINED)
    tifffile.imwrite(image, np.zeros((5, 5), "uint8"))

    assert len(plan(archive, image).jobs) == 1


def test_a_file_of_an_unknown_format_is_refused(archive, tmp_path):
    (tmp_path / "x.dm4").write_bytes(b"\0\0\0\4")

    (refused,) = plan(archive, tmp_path / "x.dm4").refused

    assert "Gatan DM4" in refused.reason


def test_a_name_that_shares_ids_with_a_mosaic_of_the_archive_is_refused(
    archive, image, monkeypatch
):
    put_mosaic(archive, "other", "k")
    monkeypatch.setattr("pipelines.mosaic.sources.mosaic_key", lambda name: 1)

    with pytest.raises(SettingsError, match="mosaics other and a would share ids"):
        plan(archive, image)


def test_truth_maps_are_matched_by_stem(tmp_path, image):
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in ("a.png", "unrelated.png", "a.txt"):
        (maps / name).write_bytes(b"")

    assert find_truth_maps(maps, find_sources([image])) == {"a": maps / "a.png"}
    assert find_truth_maps(None, find_sources([image])) == {}


def test_truth_that_fits_nothing_is_refused(tmp_path, image):
    sources = find_sources([image])
    maps = tmp_path / "maps"

    with pytest.raises(SettingsError, match=r"--truth: folder .*maps does not exist"):
        find_truth_maps(maps, sources)

    maps.mkdir()
    with pytest.raises(SettingsError, match=r"--truth: no map in .* is named like"):
        find_truth_maps(maps, sources)

    (maps / "a.png").write_bytes(b"")
    (maps / "a.tif").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"a\.png and .*a\.tif are maps of the same image"):
        find_truth_maps(maps, sources)
