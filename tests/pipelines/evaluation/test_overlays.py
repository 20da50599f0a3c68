import numpy as np
import pytest

from pipelines.evaluation.overlays import (
    contrast_limits,
    outline_layer,
    outline_mask,
    outlines,
    round_length,
    scale_bar,
    stretch,
    tile_crops,
)


def test_stretching_is_linear_between_the_limits():
    grey = stretch(np.array([[0, 100, 150, 200, 999]], np.uint16), low=100, high=200)

    assert grey.tolist() == [[0, 0, 128, 255, 255]]
    assert grey.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_flat_image_is_grey(dtype):
    image = np.full((2, 2), 7, dtype)

    assert (stretch(image, low=7, high=7) == 128).all()


def test_a_hot_pixel_does_not_decide_the_contrast():
    image = np.tile(np.arange(100), 50)
    image[0] = 60000

    low, high = contrast_limits(image)

    assert 0 <= low < 2
    assert 97 < high < 100


def test_a_lone_particle_on_an_even_ground_is_seen():
    image = np.full(10_000, 40)
    image[:3] = 200

    assert contrast_limits(image) == (40, 200)


def test_outlines_lie_inside_their_own_instance_and_between_touching_ones():
    instances = np.array(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 2, 2],
            [0, 1, 1, 1, 2, 2],
            [0, 1, 1, 1, 2, 2],
            [0, 0, 0, 0, 0, 0],
        ]
    )

    assert outline_mask(instances).astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 1, 0],
        [0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
    ]


def test_a_wider_outline_grows_inwards():
    instances = np.zeros((9, 9), int)
    instances[1:8, 1:8] = 5

    mask = outline_mask(instances, width_px=2)

    assert mask.sum() == 7 * 7 - 3 * 3
    assert not mask[3:6, 3:6].any()
    assert not mask[0].any()


def test_the_image_edge_is_no_outline():
    assert not outline_mask(np.ones((3, 3), int)).any()


def test_a_width_below_one_is_refused():
    with pytest.raises(ValueError, match="width_px must be at least 1, got 0"):
        outline_mask(np.ones((2, 2), int), width_px=0)


def test_each_outline_has_its_instances_colour_and_the_inside_is_clear():
    instances = np.array([[7, 7, 0, 9]], np.uint32)

    layer = outline_layer(instances, {7: (1, 2, 3)}, default=(9, 9, 9))

    assert layer[0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 255], [0, 0, 0, 0], [9, 9, 9, 255]]


def test_outlines_over_an_image_leave_the_rest_as_it_was():
    grey = np.array([[10, 20, 30, 40]], np.uint8)
    layer = outline_layer(np.array([[7, 7, 0, 0]]), {7: (1, 2, 3)}, default=(0, 0, 0))

    assert outlines(grey, layer)[0].tolist() == [[10] * 3, [1, 2, 3], [30] * 3, [40] * 3]


def test_nothing_found_draws_nothing():
    layer = outline_layer(np.zeros((3, 3), np.uint32), {}, default=(1, 1, 1))

    assert not layer.any()


def test_crops_are_laid_out_in_reading_order():
    crops = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 1, 1), np.uint8)

    assert tile_crops(crops, columns=2, gaps_px=(1, 1), fill=9).tolist() == [
        [0, 9, 1],
        [9, 9, 9],
        [2, 9, 9],
    ]


@pytest.mark.parametrize(
    ("length", "rounded"), [(1, 1), (4.99, 2), (5, 5), (99, 50), (0.0019, 0.001), (1e6, 1e6)]
)
def test_lengths_are_rounded_down_to_1_2_or_5(length, rounded):
    assert round_length(length) == rounded


def test_a_length_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        round_length(0)


@pytest.mark.parametrize(
    ("width_px", "size_nm", "text"),
    [(1024, 2.0, "500 nm"), (40960, 2.0, "20 µm"), (1024, None, "200 px"), (64, 0.01, "0.1 nm")],
)
def test_a_scale_bar_says_its_own_length(width_px, size_nm, text):
    share, said = scale_bar(width_px, size_nm)

    assert said == text
    value = float(said.split()[0]) * (1000 if "µm" in said else 1)
    assert share * width_px * (size_nm or 1) == pytest.approx(value)
    assert 0.1 < share <= 0.3
