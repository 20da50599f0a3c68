from pathlib import Path

import click
import pytest
from pydantic import Field

from cluster.resources import Wish
from pipelines.errors import SettingsError
from services.cli import tessera
from services.settings import CLUSTER_KEYS, ArchiveSettings, ClusterSettings, cluster_keys


class Settings(ClusterSettings):
    """For the tests."""

    core_px: int = Field(512, gt=0, description="edge of a core")
    mosaic: tuple[str, ...] = ()
    fraction: float = Field(0.5, ge=0, le=1)


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "s.toml"
        path.write_text(text)
        return path

    return write


def load(toml=None, **flags):
    return Settings.load("segment", toml, flags)


def test_defaults_fill_what_is_not_given():
    settings = load(archive="a")

    assert (settings.archive, settings.core_px, settings.seed) == (Path("a"), 512, 0)


def test_flags_win_over_the_file(toml):
    path = toml("[segment]\narchive = 'a'\ncore_px = 64\nfraction = 0.1")

    settings = load(path, core_px=32, fraction=None)

    assert (settings.core_px, settings.fraction) == (32, 0.1)


def test_keys_above_the_tables_belong_to_every_verb_that_knows_them(toml):
    path = toml("archive = 'a'\nseed = 3\npixel_size_nm = 2.0\n[train]\nepochs = 3")

    assert load(path).seed == 3


def test_the_verbs_own_table_wins_over_shared_keys(toml):
    assert load(toml("archive = 'a'\nseed = 3\n[segment]\nseed = 4")).seed == 4


def test_an_unknown_key_in_the_verbs_table_is_refused(toml):
    with pytest.raises(SettingsError, match=r"s\.toml: \[segment\] does not know cor_px, z"):
        load(toml("[segment]\nz = 1\ncor_px = 1"), archive="a")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "^--archive is missing$"),
        ({"core_px": 0}, "^--core-px: input should be greater than 0, got 0$"),
        ({"core_px": "many"}, "^--core-px: input should be a valid integer.*got 'many'$"),
        ({"core_px": 1.5}, "^--core-px: input should be a valid integer.*got 1.5$"),
        ({"fraction": float("nan")}, "^--fraction: .*, got nan$"),
        ({"fraction": float("inf")}, "^--fraction: .*, got inf$"),
        ({"seed": -1}, "^--seed: input should be greater than or equal to 0, got -1$"),
        ({"workers": 0}, "^--workers: input should be greater than or equal to 1, got 0$"),
        ({"mosaic": [3]}, "^--mosaic: input should be a valid string, got 3$"),
        ({"unknown": 1}, "^--unknown: extra inputs are not permitted, got 1$"),
    ],
)
def test_a_broken_rule_names_the_flag_and_the_value(flags, message):
    archive = {} if flags == {} else {"archive": "a"}
    with pytest.raises(SettingsError, match=message):
        load(**archive, **flags)


def test_a_broken_rule_in_the_file_names_the_file(toml):
    with pytest.raises(SettingsError, match=r"s\.toml: core_px: input should be .*, got -3$"):
        load(toml("[segment]\ncore_px = -3"), archive="a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[segment", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("segment = 3", r"segment must be a table \[segment\], got 3"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(toml, text, message):
    with pytest.raises(SettingsError, match=rf"settings file .*s\.toml.* {message}"):
        load(toml(text), archive="a")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="is not TOML"):
        load(tmp_path / "s.toml", archive="a")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"settings file .*none\.toml does not exist"):
        load(tmp_path / "none.toml", archive="a")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path, archive="a")


def test_what_a_cluster_is_asked_for_stands_in_one_table_for_all_verbs(toml):
    path = toml(
        "archive = 'a'\n[cluster]\naddress = 'head:6379'\nworkers = 8\ntrain_workers = 4\n"
        "memory_per_worker_mb = 900\nprice_per_core_hour = 0.04\n"
    )

    settings = load(path, workers=3)

    # A flag wins, and what only verbs that train know is theirs.
    assert (settings.address, settings.workers) == ("head:6379", 3)
    assert settings.wish == Wish(workers=3, memory_bytes=900_000_000)
    assert settings.price_per_core_hour == 0.04


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cluster]\nworker = 3", r"\[cluster\] does not know worker$"),
        ("workers = 3", r"workers belongs into \[cluster\]$"),
        ("[segment]\nworkers = 3", r"workers belongs into \[cluster\]$"),
        ("cluster = 3", "cluster must be a table, got 3$"),
        ("[cluster]\ncores_per_worker = 0", ": cores_per_worker: .*, got 0$"),
    ],
)
def test_the_clusters_table_is_the_only_place_for_what_belongs_there(toml, text, message):
    with pytest.raises(SettingsError, match=rf"s\.toml.*{message}"):
        load(toml(text), archive="a")


def test_every_key_of_the_clusters_table_is_some_verbs():
    settings = [command.settings_type for command in verb_commands()]

    known = {key for each in settings for key in cluster_keys(each.model_fields)}

    assert known == CLUSTER_KEYS


def verb_commands(group=tessera, context=None):
    context = click.Context(group, parent=context)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from verb_commands(command, context)
        else:
            yield command


def test_settings_cannot_be_changed():
    settings = ArchiveSettings(archive=Path("a"))

    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3


def test_an_archive_may_lie_in_a_bucket(toml):
    for settings in (
        load(toml('archive = "s3://scans/2026"')),
        load(archive=Path("s3://scans/2026")),
    ):
        assert str(settings.archive) == "s3://scans/2026"
        assert settings.model_dump(mode="json")["archive"] == "s3://scans/2026"


def test_an_address_with_a_password_is_refused_without_repeating_it():
    with pytest.raises(SettingsError, match=r"^--archive: an archive's address must not hold") as e:
        load(archive=Path("s3://ada:lovelace@scans/2026"))

    assert "lovelace" not in str(e.value)


def test_a_verb_that_needs_a_folder_says_so():
    class Nightly(ArchiveSettings):
        IN_BUCKETS = False

    with pytest.raises(SettingsError, match="needs an archive in a folder, got s3://scans/2026"):
        Nightly.load("nightly", None, {"archive": "s3://scans/2026"})


def test_a_cluster_needs_a_folder_that_all_nodes_see_for_work_in_progress(monkeypatch):
    given = {"archive": "s3://scans/2026", "address": "10.0.0.1:6379"}

    with pytest.raises(SettingsError, match=r"^TESSERA_SCRATCH must name a folder that all nodes"):
        ClusterSettings.load("segment", None, given)
    monkeypatch.setenv("TESSERA_SCRATCH", "/shared/scratch")
    assert ClusterSettings.load("segment", None, given).address == "10.0.0.1:6379"
