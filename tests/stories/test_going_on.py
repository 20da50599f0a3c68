"""The same command again: nothing to do, or on from where a full disk or Ctrl-C stopped it."""

import shutil

import cv2
import numpy as np
import pytest
import tifffile

from pipelines.archive import Archive, create_archive
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.tables import read_rows

pytestmark = [
    # Ray Data copies its settings, and the copy sets those that it deprecates itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]
INTERRUPTED = "tessera: interrupted; the same command goes on from here"


@pytest.fixture
def archive_of_discs(tmp_path) -> Archive:
    archive = create_archive(tmp_path / "discs")
    write_mosaic(archive.mosaic("discs"), draw_discs(), pixel_size_nm=2.0)
    return archive


def draw_discs():
    image = np.full((1024, 1024), 40, "uint8")
    for y, x in np.ndindex(32, 32):
        cv2.circle(image, (32 * x + 16, 32 * y + 16), 9 + (x + y) % 4, 180, thickness=-1)
    return image


@pytest.mark.ray
def test_the_same_command_twice_has_nothing_to_do(
    embedded_ray, tessera, typed, archive_of_discs, digests
):
    archive = archive_of_discs
    first = typed("segment", "--archive", archive.root)
    after_first = digests(archive.root)
    again = tessera("segment", "--archive", archive.root)

    assert first.returncode == 0, first.stderr
    assert "mosaics=1 tiles=1 skipped=0 unchanged=0 instances=1024" in first.stdout
    assert again.returncode == 0, again.stderr
    assert "mosaics=1 tiles=0 skipped=0 unchanged=1 instances=1024" in again.stdout
    assert again.stderr == ""
    # The log of runs has one more.
    assert digests(archive.root) | {"runs.jsonl": ""} == after_first | {"runs.jsonl": ""}


def test_a_full_disk_stops_ingest_with_one_line_and_with_room_it_goes_on(
    tessera, small_disk, grow, tmp_path, rng
):
    images = tmp_path / "images"
    images.mkdir()
    pixels = rng.integers(0, 256, (1900, 1900), dtype="uint8")
    tifffile.imwrite(images / "large.tif", pixels)
    tifffile.imwrite(images / "small.tif", pixels[:300, :300])
    archive = Archive(small_disk / "a")
    command = f"ingest {images} --archive {archive.root} --pixel-size-nm 2".split()

    full = tessera(*command)
    names_when_full = archive.mosaic_names()
    grow("64m")
    again = tessera(*command)

    assert (full.returncode, full.stdout) == (2, "")
    (line,) = full.stderr.strip().splitlines()
    assert line.startswith(f"tessera: no space left on the disk that holds {archive.root}")
    assert "large" not in names_when_full
    assert not list(archive.mosaics.glob(".*"))
    assert again.returncode == 0, again.stderr
    assert archive.mosaic_names() == ["large", "small"]
    assert (open_mosaic(archive.mosaic("large")).level(0)[...] == pixels).all()


@pytest.mark.ray
def test_a_full_disk_stops_segment_with_one_line_and_with_room_it_goes_on(
    embedded_ray, tessera, typed, small_disk, grow, archive_of_discs
):
    archive = Archive(small_disk / "a")
    shutil.copytree(archive_of_discs.root, archive.root)
    command = f"segment --archive {archive.root} --core-px 256 --workers 2".split()
    filler = small_disk / "filler"

    # No room for the lock, for the workers' notes, for what they find.
    for room_bytes in (0, 20_000, 200_000):
        filler.unlink(missing_ok=True)
        filler.write_bytes(b"." * (shutil.disk_usage(small_disk).free - room_bytes))
        full = tessera(*command)
        assert (full.returncode, full.stdout) == (2, ""), full.stderr
        # What Ray's own processes say comes when it likes, also last.
        said = [text for text in full.stderr.splitlines() if text and "(raylet)" not in text]
        *progress, line = said
        assert "disk" in line, full.stderr
        assert "archive" in line
        assert all(text.startswith("segment: ") for text in progress), full.stderr
    filler.unlink()
    grow("64m")
    again = typed(*command)

    assert again.returncode == 0, again.stderr
    assert "instances=1024" in again.stdout
    assert read_rows(archive, "particles").num_rows == 1024
    assert not list(archive.root.rglob("*.partial"))


def test_ctrl_c_stops_ingest_with_one_line_and_the_same_command_goes_on(
    tessera, begin, tmp_path, rng, digests
):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(24):
        pixels = rng.integers(0, 256, (1400, 1400), dtype="uint8")
        tifffile.imwrite(images / f"i{i:02d}.tif", pixels)
    archive, undisturbed = Archive(tmp_path / "a"), Archive(tmp_path / "undisturbed")

    def command(archive):
        return f"ingest {images} --archive {archive.root} --pixel-size-nm 2".split()

    run = begin(*command(archive))
    run.wait_until(lambda: len(list((archive.scratch / "ingest").glob("[!.]*.ome.zarr"))) >= 4)
    run.interrupt()
    status = run.wait()
    names = archive.mosaic_names()
    again = tessera(*command(archive))
    tessera(*command(undisturbed))

    assert status == 130
    assert run.stderr.split("\n")[-2:] == [INTERRUPTED, ""]
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert run.family() == []
    assert 4 <= len(names) < 24
    assert again.returncode == 0, again.stderr
    assert f"mosaics={24 - len(names)} unchanged={len(names)}" in again.stdout
    assert digests(archive.mosaics) == digests(undisturbed.mosaics)
