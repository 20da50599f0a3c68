from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.mosaic import sources
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.mosaic.sources import find_sources, mosaic_name, source_digest, source_stamp

TIFF, BIGTIFF, PNG, JPEG = b"II*\0rest", b"MM\0+rest", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"


def make(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def test_files_are_known_by_their_first_bytes(tmp_path):
    folder = make(tmp_path / "f", a=TIFF, b=BIGTIFF, c__png=PNG, d__tif=JPEG)

    assert [(s.name, s.kind) for s in find_sources([folder])] == [
        ("a", "tiff"),
        ("b", "tiff"),
        ("c", "png"),
        ("d", "jpeg"),
    ]


def test_a_zarr_folder_is_one_image(tmp_path):
    write_mosaic(tmp_path / "m.ome.zarr", np.ones((4, 4), "uint8"), pixel_size_nm=1)

    for asked in (tmp_path, tmp_path / "m.ome.zarr"):
        (found,) = find_sources([asked])
        assert (found.name, found.kind) == ("m", "zarr")


def test_what_is_no_image_in_a_folder_is_passed_over(tmp_path):
    folder = make(tmp_path / "f", a=TIFF, notes__txt=b"hello", table__csv=b"1,2", __hidden=TIFF)
    (folder / "more").mkdir()

    assert [s.name for s in find_sources([folder])] == ["a"]


def test_what_is_meant_as_an_image_is_not_passed_over(tmp_path):
    folder = make(tmp_path / "f", a__tif=b"not a tiff", b__png=b"", c__dm3=b"\0\0\0\3")

    found = {s.name: s for s in find_sources([folder])}

    assert not any(s.is_readable for s in found.values())
    assert "first bytes are no TIFF, PNG or JPEG" in found["a"].kind
    assert "it is empty" in found["b"].kind
    assert "Gatan DM3 files are not read" in found["c.dm3"].kind


def test_a_file_named_itself_is_always_an_image(tmp_path):
    folder = make(tmp_path / "f", notes__txt=b"hello")

    (found,) = find_sources([folder / "notes.txt"])

    assert not found.is_readable


def test_a_file_named_twice_is_one_image(tmp_path):
    folder = make(tmp_path / "f", a__tif=TIFF)

    assert len(find_sources([folder, folder / "a.tif", folder / ".." / "f"])) == 1


def test_what_cannot_be_a_source_is_refused(tmp_path):
    empty = make(tmp_path / "empty")
    nested = make(tmp_path / "nested")
    (nested / "inside").mkdir()

    for asked, rule in [
        ([], "SOURCE is missing"),
        ([tmp_path / "no.tif"], r"no\.tif does not exist"),
        ([empty], "empty has no images$"),
        ([nested], r"no images directly inside \(name its 1 folders"),
    ]:
        with pytest.raises(SettingsError, match=rule):
            find_sources(asked)


def test_two_files_with_one_name_are_refused(tmp_path):
    one, two = make(tmp_path / "1", a__tif=TIFF), make(tmp_path / "2", a__png=PNG)

    with pytest.raises(SettingsError, match="would both become the mosaic a; rename"):
        find_sources([one, two])


def test_names_whose_particles_would_share_ids_are_refused(tmp_path, monkeypatch):
    folder = make(tmp_path / "f", a__tif=TIFF, b__tif=TIFF)
    monkeypatch.setattr(sources, "mosaic_key", lambda name: 7)

    with pytest.raises(SettingsError, match="mosaics a and b would share ids"):
        find_sources([folder])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("run-07.tif", "run-07"),
        ("a.ome.tiff", "a"),
        ("scan.OME.TIF", "scan"),
        ("id=00,sig=06,rep=2", "id_00_sig_06_rep_2"),
        ("7 nm µ.png", "7_nm"),
        ("..hidden..x.tif", "hidden.x"),
        ("v0.5.zarr", "v0.5"),
        ("test.dm3", "test.dm3"),
    ],
)
def test_a_mosaic_is_named_after_its_file(file, name):
    assert mosaic_name(Path("/somewhere") / file) == name


def test_a_name_of_which_nothing_is_left_or_too_much_gets_a_digest():
    assert mosaic_name(Path("中文.png")).startswith("mosaic-")
    assert mosaic_name(Path("中文.png")) != mosaic_name(Path("日本.png"))
    long = mosaic_name(Path("x" * 200 + "1.png"))
    assert len(long) <= 128
    assert long != mosaic_name(Path("x" * 200 + "2.png"))


def test_a_digest_tells_contents_apart_and_not_places(tmp_path):
    one = make(tmp_path / "1", a=b"12", b=b"3")
    same = make(tmp_path / "2", b=b"3", a=b"12")
    other = make(tmp_path / "3", a=b"1", b=b"23")

    assert source_digest(one) == source_digest(same)
    assert source_digest(one) != source_digest(other)
    assert source_digest(one / "a") == source_digest(same / "a")


def test_a_stamp_changes_with_the_size_of_any_file_inside(tmp_path):
    folder = make(tmp_path / "f", a=b"1")
    before = source_stamp(folder)

    (folder / "a").write_bytes(b"12")

    assert source_stamp(folder) != before
