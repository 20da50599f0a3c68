import pytest

from pipelines.archive import create_archive
from services.champions import Champion, read_champions, remember_champion


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def champion(version):
    return Champion(version, "2026-11-20T02:41:00+00:00", "ada", "promote", "better")


def test_each_model_has_its_champion_and_the_last_one_counts(archive):
    remember_champion(archive, "hands", champion("1"))
    remember_champion(archive, "defects", champion("4"))
    remember_champion(archive, "hands", champion("2"))

    assert read_champions(archive) == {"defects": champion("4"), "hands": champion("2")}


@pytest.mark.parametrize("content", ["", "{", '{"hands": 3}', '{"hands": {"version": "1"}}'])
def test_a_damaged_copy_is_no_champion(archive, content):
    (archive.root / "champions.json").write_text(content)

    assert read_champions(archive) == {}
