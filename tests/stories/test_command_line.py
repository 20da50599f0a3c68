"""What a person meets who types something wrong, or stops half way."""

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tifffile

from pipelines.archive import Archive, create_archive
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.tables import read_rows
from services.cli import VERBS

#: Root may read any file until it gives that right up.
AS_A_USER = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)
needs_a_user = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root reads everything"
)
INTERRUPTED = "tessera: interrupted; the same command goes on from here"
#: Holds an archive until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from pipelines.archive import open_archive
from services.lock import hold
with hold(open_archive(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line on stderr, exit 2, nothing on stdout."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("tessera: ")
    for word in words:
        assert word in lines[0]


def test_without_arguments_it_explains_itself(tessera):
    result = tessera()

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for verb in VERBS:
        assert verb in result.stderr + result.stdout


@pytest.mark.parametrize("verb", [*VERBS])
def test_every_verb_explains_itself_with_defaults(tessera, verb):
    result = tessera(verb, "--help")

    assert result.returncode == 0, result.stderr
    assert "--seed" in result.stdout
    assert "[default: 0]" in result.stdout
    assert "--settings" in result.stdout
    assert "--json" in result.stdout


def test_an_unknown_verb_is_refused(tessera):
    assert_refused(tessera("segmnt"), "segmnt")


def test_an_unknown_flag_is_refused(tessera, tmp_path):
    assert_refused(tessera("segment", "--archive", tmp_path, "--tile-size", 3), "--tile-size")


def test_a_missing_archive_flag_is_refused(tessera):
    assert_refused(tessera("segment"), "--archive", "missing")


def test_a_missing_archive_is_refused(tessera, tmp_path):
    assert_refused(tessera("segment", "--archive", tmp_path / "no"), "no", "does not exist")


@pytest.mark.parametrize("verb", [["run", "--assume", "right"], ["ingest"]])
def test_a_folder_that_is_no_archive_is_refused_and_left_alone(tessera, tmp_path, verb):
    tifffile.imwrite(tmp_path / "image.tif", np.ones((9, 9), "uint8"))
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "letter.txt").write_text("dear")

    result = tessera(*verb, tmp_path / "image.tif", "--archive", letters)

    assert_refused(result, str(letters), "is not an archive")
    assert [path.name for path in letters.iterdir()] == ["letter.txt"]


def test_a_missing_source_is_refused_and_makes_no_archive(tessera, tmp_path):
    result = tessera("ingest", tmp_path / "no.tif", "--archive", tmp_path / "a")

    assert_refused(result, "no.tif", "does not exist")
    assert not (tmp_path / "a").exists()


def test_an_empty_folder_is_refused_and_makes_no_archive(tessera, tmp_path):
    (tmp_path / "empty").mkdir()

    result = tessera("ingest", tmp_path / "empty", "--archive", tmp_path / "a")

    assert_refused(result, "empty")
    assert not (tmp_path / "a").exists()


def test_a_value_out_of_range_names_flag_rule_and_value(tessera, tmp_path):
    result = tessera("segment", "--archive", tmp_path, "--core-px", -4)

    assert_refused(result, "--core-px", "greater than", "-4")


def test_a_broken_settings_file_is_refused(tessera, tmp_path):
    settings = tmp_path / "s.toml"
    settings.write_text("[segment\n")

    assert_refused(tessera("segment", "--archive", tmp_path, "--settings", settings), "s.toml")


def test_an_unknown_setting_is_refused_with_its_file(tessera, tmp_path):
    settings = tmp_path / "s.toml"
    settings.write_text("[segment]\ncore_pixels = 3\n")

    result = tessera("segment", "--archive", tmp_path, "--settings", settings)

    assert_refused(result, "s.toml", "core_pixels")


@needs_a_user
def test_an_unreadable_source_is_refused(tessera, tmp_path):
    source = tmp_path / "secret.tif"
    source.write_bytes(b"II*\0")
    source.chmod(0)

    result = tessera("ingest", source, "--archive", tmp_path / "a", prefix=AS_A_USER)

    assert_refused(result, "secret.tif", "cannot be read")
    assert not (tmp_path / "a").exists()


@needs_a_user
@pytest.mark.parametrize("verb", ["segment", "doctor"])
def test_an_archive_that_cannot_be_read_is_named(tessera, tmp_path, verb):
    archive = create_archive(tmp_path / "a")
    archive.root.chmod(0)

    result = tessera(verb, "--archive", archive.root, prefix=AS_A_USER)

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert str(archive.root) in result.stderr + result.stdout
    archive.root.chmod(0o755)


def test_a_file_instead_of_an_archive_is_refused(tessera, tmp_path):
    (tmp_path / "a").write_text("no folder")

    assert_refused(tessera("segment", "--archive", tmp_path / "a"), "a")


def test_an_archive_without_mosaics_is_refused(tessera, tmp_path):
    archive = create_archive(tmp_path / "a")

    assert_refused(tessera("segment", "--archive", archive.root), "holds no mosaic")


def test_a_method_that_is_not_there_is_refused(tessera, archive_of_discs):
    result = tessera("segment", "--archive", archive_of_discs.root, "--method", "otsuu")

    assert_refused(result, "otsu, ", "otsuu")


def test_an_archive_that_another_process_holds_is_left_alone(tessera, tmp_path):
    archive = create_archive(tmp_path / "a")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(archive.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"

        result = tessera("segment", "--archive", archive.root)
        holder.communicate()

    assert result.returncode == 75
    (line,) = result.stderr.splitlines()
    assert f"is held by process {holder.pid} on" in line
    assert result.stdout == ""


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
def test_the_same_command_twice_has_nothing_to_do(tessera, archive_of_discs, digests):
    archive = archive_of_discs
    first = tessera("segment", "--archive", archive.root)
    after_first = digests(archive.root)
    again = tessera("segment", "--archive", archive.root)

    assert first.returncode == 0, first.stderr
    assert "mosaics=1 tiles=1 skipped=0 unchanged=0 instances=1024" in first.stdout
    assert again.returncode == 0, again.stderr
    assert "mosaics=1 tiles=0 skipped=0 unchanged=1 instances=1024" in again.stdout
    assert again.stderr == ""
    # The lock says who held it last.
    assert digests(archive.root) | {".lock": ""} == after_first | {".lock": ""}


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

    assert_refused(full, "no space left on the disk", str(archive.root))
    assert "large" not in names_when_full
    assert not list(archive.mosaics.glob(".*"))
    assert again.returncode == 0, again.stderr
    assert archive.mosaic_names() == ["large", "small"]
    assert (open_mosaic(archive.mosaic("large")).level(0)[...] == pixels).all()


@pytest.mark.ray
def test_a_full_disk_stops_segment_with_one_line_and_with_room_it_goes_on(
    tessera, small_disk, grow, archive_of_discs
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
        *progress, line = full.stderr.strip().splitlines()
        assert "disk" in line
        assert "archive" in line
        assert all(text.startswith("segment: ") or "(raylet)" in text for text in progress)
    filler.unlink()
    grow("64m")
    again = tessera(*command)

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
