"""What a person meets who types something wrong, or stops half way."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from services.cli import VERBS


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


def test_a_folder_that_is_no_archive_is_refused_and_left_alone(tessera, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")

    assert_refused(tessera("run", tmp_path, "--archive", tmp_path, "--assume", "right"), "archive")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


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


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root reads everything"
)
def test_an_unreadable_source_is_refused(tessera, tmp_path):
    source = tmp_path / "secret.tif"
    source.write_bytes(b"II*\0")
    source.chmod(0)
    # Root may read any file until it gives that right up.
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")

    result = tessera(
        "ingest",
        source,
        "--archive",
        tmp_path / "a",
        prefix=drop if os.geteuid() == 0 else (),
    )

    assert_refused(result, "secret.tif", "cannot be read")


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
