from pathlib import Path

import pytest

from pipelines.archive import create_archive
from pipelines.ledger import Entry, append_entries
from services.champions import Champion, remember_champion
from services.nightly.snapshot import decisive, digest_segmenters, take_snapshot
from services.verbs import clean, label, segment, train
from services.verbs.segmenter import fit


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def snapshot(archive, *, champion="", **of_segment):
    stages = {
        "segment": segment.Settings(archive=archive.root, **of_segment),
        "label": label.Settings(archive=archive.root, assume="right"),
        "clean": clean.Settings(archive=archive.root),
        "train": train.Settings(archive=archive.root),
    }
    return take_snapshot(archive, sources={}, stages=stages, gate={}, champion=champion)


def test_settings_that_only_say_how_fast_work_is_done_do_not_count(archive):
    assert snapshot(archive) == snapshot(archive, core_px=512, workers=2, network_workers=0)
    assert snapshot(archive) != snapshot(archive, min_diameter_px=9.0)


def test_of_a_file_of_rules_the_content_counts_and_not_the_name(archive, tmp_path):
    def of(name: str, content: str) -> dict[str, object]:
        path = Path(tmp_path / name)
        path.write_text(content)
        return decisive(label.Settings(archive=archive.root, rules=path))

    assert of("a.toml", "one") == of("b.toml", "one")
    assert of("a.toml", "one") != of("a.toml", "two")


def test_a_new_segmenter_is_a_change_to_who_segments_by_it(archive):
    thresholds, learned = snapshot(archive), snapshot(archive, method="learned:hands")
    append_entries(archive, [Entry("k1", "segmenter-fit", "", "hands/1")])

    assert snapshot(archive) == thresholds
    assert snapshot(archive, method="learned:hands") != learned


def test_another_champion_among_segmenters_is_a_change_too(archive):
    before = digest_segmenters(archive, "learned:hands")
    remember_champion(archive, "classifier", Champion("2", "2026-11-25", "ada", "promote", ""))
    assert digest_segmenters(archive, "learned:hands") == before

    remember_champion(archive, "hands", Champion("2", "2026-11-25", "ada", "promote", ""))

    assert digest_segmenters(archive, "learned:hands") != before
    assert digest_segmenters(archive, "otsu") == digest_segmenters(archive, "local")


def test_of_a_folder_of_masks_a_new_file_counts(archive, tmp_path):
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    settings = fit.Settings(archive=archive.root, truth=drawn)
    before = decisive(settings)
    assert decisive(settings) == before

    (drawn / "mask.png").write_bytes(b"mask")

    assert decisive(settings) != before
