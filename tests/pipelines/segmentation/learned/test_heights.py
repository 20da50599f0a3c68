import numpy as np

from pipelines.segmentation.learned.heights import drop_unsure, field_heights, instances_of
from pipelines.segmentation.masks import MAX_HEIGHT, UNITS_PER_PX
from pipelines.segmentation.persistence import SplitRule

RULE = SplitRule(UNITS_PER_PX, 0.1)


def test_background_has_no_height_and_the_middle_the_greatest():
    foreground = np.array([[0.2, 0.6, 0.9]], np.float32)
    depth = np.array([[0.9, 0.0, 1.0]], np.float32)

    assert field_heights(foreground, depth).tolist() == [[0, 1, MAX_HEIGHT]]


def test_two_depths_with_a_saddle_between_are_two_objects():
    depth = np.array([[0.1, 0.6, 1.0, 0.6, 0.2, 0.6, 1.0, 0.6, 0.1]] * 3, np.float32)

    found = instances_of(field_heights(np.ones_like(depth), depth), RULE)

    assert found[1, 2] != found[1, 6]
    assert found.max() == 2


def test_a_dent_in_the_depth_is_one_object():
    depth = np.array([[0.1, 0.7, 1.0, 0.9, 0.8, 0.9, 1.0, 0.7, 0.1]] * 3, np.float32)

    found = instances_of(field_heights(np.ones_like(depth), depth), RULE)

    assert found.max() == 1


def test_small_objects_are_left_out():
    heights = np.zeros((6, 12), np.uint16)
    heights[1:5, 1:5] = 100
    heights[2, 8] = 100

    found = instances_of(heights, RULE, least_area_px=4)

    assert np.array_equal(found > 0, (heights > 0) & (np.arange(12) < 6))


def test_an_object_that_is_deep_nowhere_is_taken_away_and_a_deep_one_stays_whole():
    fields = np.zeros((2, 20, 40), np.float32)
    fields[0, 4:16, 3:15] = fields[0, 4:16, 22:34] = 0.9
    fields[1, 4:16, 3:15] = 0.3
    fields[1, 4:16, 22:34] = 0.3
    fields[1, 9, 28] = 0.8

    left = drop_unsure(fields)

    assert (left[0, 4:16, 3:15] == 0).all()
    assert (left[0, 4:16, 22:34] == np.float32(0.9)).all()


def test_nothing_is_found_where_there_is_nothing():
    assert instances_of(np.zeros((5, 5), np.uint16), RULE).tolist() == np.zeros((5, 5)).tolist()
