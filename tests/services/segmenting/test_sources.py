"""What a segmenter is fitted on, laid out in files."""

import cv2
import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from pipelines.mosaic.ome_zarr import create_instances, write_mosaic
from pipelines.records import Window
from services.segmenting.images import mosaic_images, spread
from services.segmenting.sources import plan_inputs, write_sources

WANTED = {
    "folder": None,
    "pixel_size_nm": None,
    "believe_instances": False,
    "weak": True,
    "n_simulated": 0,
    "seed": 0,
}


def discs(shape=(120, 130)):
    """Nine bright discs."""
    grey, ids = np.full(shape, 50, np.uint8), np.zeros(shape, np.uint32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for number, (row, column) in enumerate(np.ndindex(3, 3), start=1):
        inside = (y - 20 - 40 * row) ** 2 + (x - 22 - 42 * column) ** 2 < 12**2
        grey[inside], ids[inside] = 170, number
    return grey, ids


def add_mosaic(archive, name, label=None):
    grey, ids = discs()
    write_mosaic(archive.mosaic(name), grey, pixel_size_nm=2.0)
    if label:
        writer = create_instances(
            archive.mosaic(name), label, shape=grey.shape, pixel_size_nm=2.0, shard_px=2048,
            attributes={},
        )  # fmt: skip
        writer.write_core(Window(0, 0, *grey.shape), ids)
        writer.finish()


@pytest.fixture
def archive(tmp_path):
    archive = create_archive(tmp_path / "a")
    add_mosaic(archive, "known", "truth")
    add_mosaic(archive, "segmented", "instances")
    add_mosaic(archive, "bare")
    return archive


def plan(archive, **given):
    return plan_inputs(archive, archive.mosaic_names(), **{**WANTED, **given})


def test_every_mosaic_is_learned_from_by_the_best_that_is_known_of_it(archive):
    believing = plan(archive, believe_instances=True)
    doubting = plan(archive)
    strict = plan(archive, weak=False)

    assert believing.true_mosaics == doubting.true_mosaics == strict.true_mosaics == ("known",)
    assert (believing.segmented_mosaics, believing.weak_mosaics) == (("segmented",), ("bare",))
    assert (doubting.segmented_mosaics, doubting.weak_mosaics) == ((), ("bare", "segmented"))
    assert strict.weak_mosaics == ()


def test_sources_hold_images_masks_and_how_far_they_are_believed(archive, tmp_path):
    inputs = plan(archive, believe_instances=True, n_simulated=1)

    found = write_sources(archive, inputs, tmp_path / "sources")

    by_name = {source.name: source for source in found.sources}
    assert {name: source.kind for name, source in by_name.items()} == {
        "mosaic-known": "truth",
        "segmented-segmented": "weak",
        "weak-bare": "weak",
        "scene-0": "simulated",
    }
    grey, ids = discs()
    known, weak = by_name["mosaic-known"], by_name["weak-bare"]
    assert np.array_equal(np.load(known.image), grey)
    assert np.array_equal(np.load(known.instances), ids)
    assert (known.confidence, known.pixel_size_nm) == (None, 2.0)
    # Nine plain discs: every recipe finds them.
    assert len(np.unique(np.load(weak.instances))) == 10
    assert np.load(weak.confidence).dtype == np.uint8
    assert sorted(found.mosaics) == sorted(found.masks) == sorted(by_name)


def test_one_in_four_scenes_lies_on_a_support_if_any_is_to(archive, tmp_path):
    plain, supported = (
        write_sources(
            archive,
            plan(archive, weak=False, n_simulated=5, on_support=on_support),
            tmp_path / str(on_support),
        )
        for on_support in (False, True)
    )

    other = {name for name in plain.mosaics if plain.mosaics[name] != supported.mosaics[name]}
    assert other == {"scene-0", "scene-4"}


def test_other_inputs_are_told_apart(archive):
    identities = [
        plan(archive, **given).identity(archive)
        for given in (
            {},
            {"weak": False},
            {"n_simulated": 1},
            {"n_simulated": 1, "seed": 1},
            {"n_simulated": 1, "on_support": True},
        )
    ]

    assert all(a != b for i, a in enumerate(identities) for b in identities[:i])


def test_another_mask_in_the_folder_makes_other_inputs(archive, tmp_path):
    grey, ids = discs()
    for name, pixels in (("images", grey), ("masks", ids.astype(np.uint16))):
        (tmp_path / name).mkdir()
        for stem in "ab":
            cv2.imwrite(str(tmp_path / name / f"{stem}.png"), pixels)
    before = plan(archive, folder=tmp_path).identity(archive)
    cv2.imwrite(str(tmp_path / "masks" / "b.png"), ids[::-1].astype(np.uint16))

    assert plan(archive, folder=tmp_path).identity(archive) != before


def test_nothing_to_learn_from_is_refused(tmp_path):
    archive = create_archive(tmp_path / "empty")

    with pytest.raises(SettingsError, match="there is nothing to learn from: give --truth DIR"):
        plan(archive)


def test_a_large_mosaic_gives_windows_of_one_group_spread_over_it(archive):
    grey = np.tile(discs((128, 128))[0], (7, 14))
    write_mosaic(archive.mosaic("large"), grey, pixel_size_nm=2.0)

    images = list(mosaic_images(archive, ["large"]))

    assert {image.group for image in images} == {"large"}
    assert [image.name for image in images] == [
        "large-y0-x0", "large-y0-x768", "large-y0-x1536",
        "large-y768-x0", "large-y768-x768", "large-y768-x1536",
    ]  # fmt: skip
    assert np.array_equal(images[1].grey, grey[:768, 768:1536])


def test_no_more_windows_are_taken_than_wanted_and_no_slivers():
    assert len(spread((768 * 20, 768 * 20), 12)) == 12
    assert spread((768, 768 + 20), 12) == [Window(0, 0, 768, 768)]
