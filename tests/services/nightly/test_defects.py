"""The step of a night that looks for defects, and what makes a night take it."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.tables import read_rows
from services.champions import Champion, remember_champion
from services.nightly.changes import find_changes
from services.nightly.defects import find_defects
from services.nightly.snapshot import take_snapshot
from services.verbs import relabel
from services.verbs.defects import fit
from services.verbs.models import promote


def add(archive, name, *, seed, size=128, spot=None):
    """Noise, and perhaps one bright spot."""
    image = np.random.default_rng(seed).normal(1000, 100, (size, size))
    if spot is not None:
        y, x = np.mgrid[:size, :size]
        image += 900 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / (2 * 3.0**2))
    write_mosaic(archive.mosaic(name), image.astype(np.uint16), pixel_size_nm=0.5)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Images without spots, and a detector that learnt from them."""
    archive = create_archive(tmp_path_factory.mktemp("lab") / "a")
    for number in range(4):
        add(archive, f"clean-{number}", seed=number)
    fit.execute(fit.Settings(archive=archive.root, method="blur-maximum", patch_px=32))
    promote.execute(promote.Settings(archive=archive.root, name="defects", which="@candidate"))
    add(archive, "spotted", seed=10, spot=(70, 80))
    add(archive, "tiny", seed=11, size=24)
    return archive


def night(archive, **given):
    flags = {"archive": archive.root, "assume": "right", **given}
    settings = relabel.Settings.load("relabel", None, flags)
    return SimpleNamespace(
        archive=archive, settings=settings, stage=lambda name: settings.stages[name]
    )


def test_a_night_finds_the_defects_of_all_mosaics_that_hold_a_patch(archive):
    found = find_defects(night(archive, defect_model="defects@champion"))

    assert found["mosaics"] == 5
    assert found["too_small"] == ["tiny"]
    assert found["model"] == "models:/defects/1"
    rows = read_rows(archive, "defects").to_pylist()
    spots = [row for row in rows if row["mosaic"] == "spotted"]
    assert any(abs(row["y_px"] - 70) < 20 and abs(row["x_px"] - 80) < 20 for row in spots)


def test_what_was_scored_is_not_scored_again(archive):
    find_defects(night(archive, defect_model="defects@champion"))

    again = find_defects(night(archive, defect_model="defects@champion"))

    assert again["unchanged"] == again["mosaics"] == 5


def test_nobody_who_did_not_ask_gets_a_search(archive):
    assert find_defects(night(archive)) == {"defects": 0, "why": "not asked for"}


def test_where_the_pattern_matches_nothing_there_is_nothing_to_do(archive, tmp_path):
    toml = tmp_path / "nights.toml"
    toml.write_text('[defects.score]\nmosaic = ["lattice-*"]\n')
    flags = {"archive": archive.root, "assume": "right", "defect_model": "defects/1"}
    settings = relabel.Settings.load("relabel", toml, flags)

    found = find_defects(
        SimpleNamespace(archive=archive, settings=settings, stage=settings.stages.__getitem__)
    )

    assert found["why"] == "no mosaic to look at"


def test_another_champion_among_detectors_is_a_change(tmp_path):
    archive = create_archive(tmp_path / "a")

    def looked(**given):
        stages = night(archive, **given).settings.stages
        return take_snapshot(archive, sources={}, stages=stages, gate={}, champion="")

    asked = {"defect_model": "lattices@champion"}
    before, without = looked(**asked), looked()
    remember_champion(archive, "lattices", Champion("2", "2026-11-25", "ada", "promote", ""))

    assert looked(**asked) != before
    assert looked() == without


def test_a_detector_that_is_asked_for_makes_a_night_of_work(tmp_path):
    archive = create_archive(tmp_path / "a")

    def looked(**given):
        stages = night(archive, **given).settings.stages
        return take_snapshot(archive, sources={}, stages=stages, gate={}, champion="")

    changes = find_changes(looked(), looked(defect_model="lattices@champion"))

    assert [change.text for change in changes] == ["settings detector: changed"]
