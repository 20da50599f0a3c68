import numpy as np
import pytest

from pipelines.records import Window
from pipelines.segmentation.regions import find_regions, key_height, saddle_height


def ringed(heights: list[list[int]]) -> np.ndarray:
    return np.pad(np.array(heights, dtype=np.uint16), 1)


def whole(heights: list[list[int]]):
    shape = (len(heights), len(heights[0]))
    return find_regions(ringed(heights), Window(0, 0, *shape), shape)


def test_every_pixel_follows_the_steepest_ascent_to_its_peak():
    regions = whole([[1, 3, 5, 3, 1, 2, 4]])

    assert regions.region.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert key_height(regions.peaks).tolist() == [5, 4]


def test_regions_meet_at_the_lower_of_two_neighbouring_pixels():
    regions = whole([[1, 3, 5, 3, 1, 2, 4]])

    assert regions.edges.tolist() == [[0, 1]]
    assert saddle_height(regions.saddles).tolist() == [1]


def test_diagonal_neighbours_belong_together():
    regions = whole([[2, 0], [0, 1]])

    assert regions.region.tolist() == [0, 0]


def test_a_level_region_has_the_peak_that_comes_first():
    regions = whole([[0, 7, 7], [7, 7, 0]])

    assert len(regions.peaks) == 1
    assert (regions.exits == -1).all()


def test_a_path_that_leaves_the_core_ends_at_the_first_pixel_outside():
    heights = np.zeros((3, 6), dtype=np.uint16)
    heights[1] = [0, 1, 2, 3, 4, 5]

    # The core is columns 10 to 13 of a mosaic that goes on to the right.
    regions = find_regions(heights, Window(0, 10, 1, 14), (1, 20))

    assert regions.exits.tolist() == [14]
    assert regions.region.tolist() == [0, 0, 0, 0]
    assert key_height(regions.peaks).tolist() == [5]


def test_the_best_way_out_is_known_for_regions_that_end_inside():
    heights = np.zeros((3, 6), dtype=np.uint16)
    heights[1] = [0, 1, 9, 6, 4, 4]

    regions = find_regions(heights, Window(0, 10, 1, 14), (1, 20))

    assert regions.exits.tolist() == [-1]
    assert saddle_height(regions.outside).tolist() == [4]


def test_a_region_that_touches_nothing_outside_has_no_way_out():
    assert whole([[1, 2, 1]]).outside.tolist() == [-1]


def test_background_has_no_regions():
    regions = whole([[0, 0], [0, 0]])

    assert len(regions.pixels) == len(regions.peaks) == len(regions.edges) == 0


def test_heights_that_do_not_fit_twelve_bits_are_refused():
    with pytest.raises(ValueError, match="4095, got 4096"):
        whole([[4096]])
