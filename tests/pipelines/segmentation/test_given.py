"""Instances that another package finds, block by block, against the same asked about the whole."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from pipelines.records import Window
from pipelines.segmentation.given import GivenInstances, blocks_of, plateaus, scale_levels
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey

SETTINGS = SegmentationSettings()
RNG = np.random.default_rng(3)


def survey_of(shape, block_px=16):
    blocks = np.zeros((-(-shape[0] // block_px), -(-shape[1] // block_px)), np.uint8)
    return Survey(True, 0.0, block_px, blocks, blocks, contrast=1.0)


def touching_discs(shape, *, pitch_px=18, radius_px=10):
    """Discs that overlap their neighbours, each of a grey level of its own."""
    image = np.zeros(shape, np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    level = 0
    for row, centre_y in enumerate(range(9, shape[0], pitch_px)):
        for centre_x in range(9 + 7 * (row % 2), shape[1], pitch_px):
            level = level % 250 + 1
            image[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius_px**2] = level
    return image


def by_grey_level(levels, settings):
    """Find every disc, also among touching ones; give it a number of this image alone."""
    values, numbers = np.unique(levels, return_inverse=True)
    order = RNG.permutation(len(values) - 1) + 1
    return np.append(0, order)[numbers.reshape(levels.shape)]


def method(find, **sizes):
    return GivenInstances(find, **{"block_px": 32, "context_px": 24, **sizes})


def segment(in_tiles, image, given, core_px):
    survey = survey_of(image.shape)
    return in_tiles(
        image,
        lambda pixels, window: given.heights(pixels, window, survey, SETTINGS),
        core_px=core_px,
        halo_px=given.support_px(SETTINGS),
    )[0]


def as_first_pixels(instances):
    """Name every instance by its first pixel, so that equal ones are equal."""
    ids, first = np.unique(instances, return_index=True)
    return np.where(instances > 0, first[np.searchsorted(ids, instances)], -1)


@pytest.mark.parametrize("core_px", [16, 48, 64, 1024])
def test_blocks_find_what_the_whole_image_finds_to_the_pixel(in_tiles, core_px):
    image = touching_discs((150, 170))

    found = segment(in_tiles, image, method(by_grey_level), core_px)

    whole = by_grey_level(image, SETTINGS)
    assert len(np.unique(image)) > 60
    assert np.array_equal(as_first_pixels(found), as_first_pixels(whole))


def unsteady(levels, settings):
    """Find discs a pixel smaller in every second window: an answer that depends on all of it."""
    found = by_grey_level(levels, settings)
    if int(levels.sum()) % 2:
        return found
    kept = np.zeros(found.shape, bool)
    for number in np.unique(found[found > 0]):
        kept |= binary_erosion(found == number)
    return np.where(kept, found, 0)


@pytest.mark.parametrize("core_px", [16, 64])
def test_the_answer_does_not_depend_on_the_tiles_even_if_the_package_is_unsteady(in_tiles, core_px):
    image = touching_discs((150, 170))

    found = segment(in_tiles, image, method(unsteady), core_px)

    assert np.array_equal(found, segment(in_tiles, image, method(unsteady), 1024))
    # A disc that two blocks draw differently is one all the same.
    assert len(np.unique(found)) == len(np.unique(image))


def test_instances_that_disagree_across_a_border_of_blocks_stay_apart():
    left, right = Window(0, 0, 4, 8), Window(0, 8, 4, 16)
    shown_left, shown_right = Window(0, 0, 4, 12), Window(0, 4, 4, 16)
    ids_left = np.zeros((4, 12), np.int64)
    ids_left[:, 7:9] = 1
    ids_right = np.zeros((4, 12), np.int64)
    ids_right[:, 4:10] = 1

    drawn = plateaus({left: (shown_left, ids_left), right: (shown_right, ids_right)},
                     Window(0, 0, 4, 16))  # fmt: skip

    # On the eight shared columns they share one of six: the pixels that meet get the lowest height.
    assert drawn[1].tolist() == [0] * 7 + [1, 1] + [4095] * 5 + [0, 0]


def test_two_that_touch_are_a_plateau_each_with_the_lowest_heights_between():
    ids = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 0, 2, 2]])
    block = Window(0, 0, 8, 8)
    window = Window(0, 0, 2, 6)

    drawn = plateaus({block: (window, ids)}, window)

    assert drawn.tolist() == [
        [4095, 4095, 1, 1, 4095, 4095],
        [4095, 4095, 1, 0, 4095, 4095],
    ]


def test_blocks_belong_to_the_mosaic_and_not_to_the_window():
    assert list(blocks_of(Window(5, 30, 9, 33), 32)) == [
        Window(0, 0, 32, 32), Window(0, 32, 32, 64)
    ]  # fmt: skip


def test_an_empty_block_stays_as_dark_as_the_mosaic_says():
    survey = Survey(
        True, 0.0, 8, np.array([[50]], np.uint8), np.array([[90]], np.uint8), contrast=80.0
    )

    scaled = scale_levels(np.array([[50, 51, 130]], np.uint8), survey)

    assert scaled.tolist() == [[0.0, 0.012500000186264515, 1.0]]


def test_an_object_is_asked_for_with_context_as_wide_as_it_may_be():
    wide = SegmentationSettings(max_diameter_px=90.5)

    assert method(by_grey_level).support_px(wide) == 32 + 91 + 3


def test_a_package_that_answers_for_another_image_is_told_of():
    given = method(lambda levels, settings: np.zeros((3, 3), int))

    with pytest.raises(ValueError, match=r"instances have shape \(3, 3\), their image \(9, 9\)"):
        given.heights(np.zeros((9, 9), np.uint8), Window(0, 0, 9, 9), survey_of((9, 9)), SETTINGS)
