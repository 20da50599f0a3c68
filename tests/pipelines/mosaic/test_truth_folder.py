"""Folders of images with masks: what is read of them, and what is refused in one line each."""

import cv2
import numpy as np
import pytest
import tifffile

from pipelines.errors import SettingsError
from pipelines.mosaic.truth_folder import pair_truth, read_truth

IDS = np.array([[0, 0, 300, 300], [0, 7, 0, 300], [0, 7, 7, 0]], np.uint16)
GREY = np.array([[9, 9, 90, 91], [9, 50, 9, 92], [9, 51, 52, 9]], np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two images with masks and one without: PNG and TIFF, 8 and 16 bits."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), GREY)
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), IDS)
    tifffile.imwrite(tmp_path / "images" / "b.tif", GREY.astype(np.uint16) * 200)
    tifffile.imwrite(tmp_path / "labels" / "b.tiff", IDS)
    cv2.imwrite(str(tmp_path / "images" / "c.png"), GREY)
    return tmp_path


def test_images_are_read_with_the_masks_of_their_stems(folder):
    first, second = read_truth(folder)

    assert (first.name, second.name) == ("a", "b")
    assert np.array_equal(first.grey, GREY)
    assert np.array_equal(second.grey, GREY.astype(np.uint16) * 200)
    for image in (first, second):
        assert np.array_equal(image.instances, IDS)
        assert image.instances.dtype == np.uint32
    # Discs of 3 and of 3 pixels.
    assert first.diameters_px == pytest.approx([1.954, 1.954], abs=1e-3)


@pytest.mark.parametrize("name", ["labels", "segmaps", "masks"])
def test_the_folder_of_masks_has_one_of_three_names(folder, name):
    (folder / "labels").rename(folder / name)

    assert len(pair_truth(folder)) == 2


def test_an_image_of_colours_becomes_grey(folder):
    cv2.imwrite(str(folder / "images" / "a.png"), np.dstack([GREY, GREY, GREY]))

    first, _ = read_truth(folder)

    assert np.array_equal(first.grey, GREY)


def test_a_digest_tells_of_another_mask(folder):
    before = [image.digests for image in read_truth(folder)]
    tifffile.imwrite(folder / "labels" / "b.tiff", IDS[::-1])

    after = [image.digests for image in read_truth(folder)]

    assert after[0] == before[0]
    assert after[1][0] == before[1][0]
    assert after[1][1] != before[1][1]


def remove(folder, *names):
    for name in names:
        path = folder / name
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        else:
            path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: remove(f, "images"), "has no folder images"),
        (lambda f: remove(f, "labels"), "has no masks: a folder labels, segmaps, masks is needed"),
        (lambda f: remove(f, "labels/a.png", "labels/b.tiff"), "no mask in .* is named like one"),
        (lambda f: remove(f, "labels/a.png"), "at least 2 images with masks .* has 1"),
        (
            lambda f: tifffile.imwrite(f / "labels" / "b.tiff", IDS[:2]),
            r"b.tif: mask b.tiff is \(2, 4\) pixels, the image \(3, 4\)",
        ),
        (
            lambda f: [
                tifffile.imwrite(f / "labels" / name, IDS * 0) for name in ("a.png", "b.tiff")
            ],
            "the masks of .* are all background",
        ),
        (
            lambda f: tifffile.imwrite(f / "labels" / "b.tiff", (np.eye(4)[:3, ::2] > 0) * 255),
            "b.tif: mask b.tiff is",
        ),
        (
            lambda f: tifffile.imwrite(
                f / "labels" / "b.tiff",
                np.array([[255, 0, 0, 0], [0, 0, 0, 0], [0, 0, 255, 255]], np.uint8),
            ),
            r"mask b.tiff is a mask \(one value in 2 pieces\), not a map of instance ids",
        ),
        (
            lambda f: cv2.imwrite(str(f / "labels" / "a.png"), np.dstack([GREY, GREY * 2, GREY])),
            "a.png: mask a.png is in colour",
        ),
        (
            lambda f: (f / "images" / "b.tif").write_bytes(b"II*\0broken"),
            "b.tif: it has no image",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(folder, spoil, message):
    spoil(folder)

    with pytest.raises(SettingsError, match=f"--truth: .*{message}"):
        list(read_truth(folder))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"--truth: folder .*gone does not exist"):
        pair_truth(tmp_path / "gone")
