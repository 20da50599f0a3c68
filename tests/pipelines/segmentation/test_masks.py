import numpy as np
import pytest

from pipelines.records import Window
from pipelines.segmentation.masks import beyond, distances, smooth, tidy


def drawn(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("smooth_px", [0.5, 1.5, 4.0])
def test_smoothing_does_not_depend_on_where_the_window_begins(rng, dtype, smooth_px):
    image = rng.integers(0, np.iinfo(dtype).max, (150, 170)).astype(dtype)
    whole = smooth(image, smooth_px)

    for y0, x0, y1, x1 in [(0, 0, 90, 83), (7, 31, 120, 170), (64, 3, 150, 101)]:
        part = smooth(image[y0:y1, x0:x1], smooth_px)
        inner = 12
        assert np.array_equal(
            part[inner:-inner, inner:-inner], whole[y0:y1, x0:x1][inner:-inner, inner:-inner]
        )


def test_no_smoothing_returns_the_image(rng):
    image = rng.integers(0, 255, (5, 5)).astype(np.uint8)

    assert smooth(image, 0.0) is image


@pytest.mark.parametrize("bright", [True, False])
def test_every_pixel_is_compared_with_the_threshold_of_its_block(rng, bright):
    image = rng.integers(0, 200, (20, 30)).astype(np.uint8)
    thresholds = rng.integers(0, 200, (5, 8)).astype(np.uint8)
    window = Window(3, 5, 18, 29)

    mask = beyond(image[window.slices], window, thresholds, 4, bright=bright)

    y, x = np.mgrid[3:18, 5:29]
    limits = thresholds[y // 4, x // 4]
    expected = image[3:18, 5:29] > limits if bright else image[3:18, 5:29] < limits
    assert np.array_equal(mask, expected)


def test_small_holes_are_filled_and_large_ones_left():
    mask = drawn(
        "###.......",
        "#.#.######",
        "###.#....#",
        "....#....#",
        "....#....#",
        "....######",
    )

    tidied = tidy(mask, hole_px=2, speck_px=0, speck_area_px=0)

    assert tidied[1, 1]
    assert not tidied[2:5, 5:9].any()


def test_what_lies_in_a_small_hole_is_filled_with_it():
    mask = drawn("#####", "#...#", "#.#.#", "#...#", "#####")

    assert tidy(mask, hole_px=3, speck_px=4, speck_area_px=4).all()


def test_a_hole_that_only_diagonal_pixels_enclose_is_one():
    mask = drawn(".#.", "#.#", ".#.")

    assert tidy(mask, hole_px=1, speck_px=0, speck_area_px=0)[1, 1]


def test_a_bay_is_not_a_hole():
    mask = drawn("#.#", "#.#", "###")

    assert np.array_equal(tidy(mask, hole_px=9, speck_px=0, speck_area_px=0), mask)


def test_specks_are_dropped_with_their_holes_but_not_at_the_edge():
    mask = drawn(
        "........#",
        ".###.....",
        ".#.#.....",
        ".###...##",
        ".......##",
        ".........",
    )

    tidied = tidy(mask, hole_px=3, speck_px=3, speck_area_px=10)

    assert not tidied[:, 1:4].any()
    assert tidied[0, 8]
    assert tidied[3:5, 7:9].all()


def test_the_mask_that_came_is_not_changed():
    mask = drawn("###", "#.#", "###")
    before = mask.copy()

    tidy(mask, hole_px=3, speck_px=0, speck_area_px=0)

    assert np.array_equal(mask, before)


def test_distances_count_in_sixteenths_up_to_the_limit():
    mask = np.ones((1, 9), dtype=bool)
    mask[0, 0] = False

    assert distances(mask, 3).tolist() == [[0, 16, 32, 48, 48, 48, 48, 48, 48]]


def test_a_mask_without_background_is_as_deep_as_can_be():
    assert (distances(np.ones((4, 4), dtype=bool), 5) == 80).all()


def test_an_empty_mask_has_no_height():
    assert not distances(np.zeros((4, 4), dtype=bool), 5).any()


def test_distances_do_not_depend_on_where_the_window_begins(rng):
    from scipy.ndimage import gaussian_filter

    mask = gaussian_filter(rng.normal(size=(160, 160)), 5) > 0
    whole = distances(mask, 11)

    for y0, x0, y1, x1 in [(0, 0, 77, 93), (31, 17, 160, 111), (5, 60, 140, 160)]:
        part = distances(mask[y0:y1, x0:x1], 11)
        inner = slice(12, -12)
        assert np.array_equal(part[inner, inner], whole[y0:y1, x0:x1][inner, inner])
