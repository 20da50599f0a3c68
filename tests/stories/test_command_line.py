"""What a person meets who types something wrong."""

import importlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from pipelines.archive import create_archive
from services.cli import VERBS

#: Root may read any file until it gives that right up.
AS_A_USER = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)
needs_a_user = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root reads everything"
)
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


def test_a_verb_explains_itself(tessera):
    result = tessera("segment", "--help")

    assert result.returncode == 0, result.stderr
    assert "--core-px" in result.stdout
    assert result.stderr == ""


def commands() -> list[str]:
    """Every verb, and of a family every action."""
    found = []
    for verb, (module, _) in VERBS.items():
        actions = getattr(importlib.import_module(module), "ACTIONS", None)
        found += [verb] if actions is None else [f"{verb} {action}" for action in actions]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_verb_explains_itself_with_defaults(typed, command):
    result = typed(*command.split(), "--help")

    assert result.returncode == 0, result.stderr
    assert "--seed" in result.stdout
    assert "[default: 0]" in result.stdout
    assert "--settings" in result.stdout
    assert "--json" in result.stdout


def test_an_unknown_verb_is_refused(tessera):
    assert_refused(tessera("segmnt"), "segmnt")


def test_an_unknown_flag_is_refused(typed, tmp_path):
    assert_refused(typed("segment", "--archive", tmp_path, "--tile-size", 3), "--tile-size")


def test_a_missing_archive_flag_is_refused(typed):
    assert_refused(typed("segment"), "--archive", "missing")


def test_a_missing_archive_is_refused(typed, tmp_path):
    assert_refused(typed("segment", "--archive", tmp_path / "no"), "no", "does not exist")


@pytest.mark.parametrize("verb", [["run", "--assume", "right"], ["ingest"]])
def test_a_folder_that_is_no_archive_is_refused_and_left_alone(typed, tmp_path, verb):
    tifffile.imwrite(tmp_path / "image.tif", np.ones((9, 9), "uint8"))
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "letter.txt").write_text("dear")

    result = typed(*verb, tmp_path / "image.tif", "--archive", letters)

    assert_refused(result, str(letters), "is not an archive")
    assert [path.name for path in letters.iterdir()] == ["letter.txt"]


def test_a_missing_source_is_refused_and_makes_no_archive(typed, tmp_path):
    result = typed("ingest", tmp_path / "no.tif", "--archive", tmp_path / "a")

    assert_refused(result, "no.tif", "does not exist")
    assert not (tmp_path / "a").exists()


def test_an_empty_folder_is_refused_and_makes_no_archive(typed, tmp_path):
    (tmp_path / "empty").mkdir()

    result = typed("ingest", tmp_path / "empty", "--archive", tmp_path / "a")

    assert_refused(result, "empty")
    assert not (tmp_path / "a").exists()


def test_a_value_out_of_range_names_flag_rule_and_value(typed, tmp_path):
    result = typed("segment", "--archive", tmp_path, "--core-px", -4)

    assert_refused(result, "--core-px", "greater than", "-4")


def test_a_broken_settings_file_is_refused(typed, tmp_path):
    settings = tmp_path / "s.toml"
    settings.write_text("[segment\n")

    assert_refused(typed("segment", "--archive", tmp_path, "--settings", settings), "s.toml")


def test_an_unknown_setting_is_refused_with_its_file(typed, tmp_path):
    settings = tmp_path / "s.toml"
    settings.write_text("[segment]\ncore_pixels = 3\n")

    result = typed("segment", "--archive", tmp_path, "--settings", settings)

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


def test_a_file_instead_of_an_archive_is_refused(typed, tmp_path):
    (tmp_path / "a").write_text("no folder")

    assert_refused(typed("segment", "--archive", tmp_path / "a"), "a")


def test_an_archive_without_mosaics_is_refused(typed, tmp_path):
    archive = create_archive(tmp_path / "a")

    assert_refused(typed("segment", "--archive", archive.root), "holds no mosaic")


def test_a_method_that_is_not_there_is_refused(typed, tmp_path):
    archive = create_archive(tmp_path / "a")

    result = typed("segment", "--archive", archive.root, "--method", "otsuu")

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


def test_a_missing_argument_is_named_as_in_the_help(typed):
    assert_refused(typed("simulate"), "OUT", "missing")
