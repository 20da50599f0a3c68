import numpy as np
import pytest

from pipelines.mosaic.pyramid import PixelSummary, halve_mean, halve_nearest, summarise_block


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_four_pixels_become_their_mean_rounded_half_up(dtype):
    image = np.array([[0, 1, 10, 10], [0, 1, 10, 11]], dtype=dtype)

    half = halve_mean(image)

    assert half.tolist() == [[1, 10]]
    assert half.dtype == image.dtype


def test_at_an_odd_edge_only_the_pixels_that_are_there_count():
    image = np.array([[2, 4, 7], [6, 8, 9], [10, 20, 30]], dtype="float32")

    half = halve_mean(image)

    assert half.tolist() == [[5.0, 8.0], [15.0, 30.0]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (64, 130), (1, 1), (1, 5), (5, 1)])
def test_the_mean_is_exact_for_whole_ranges(dtype, shape, rng):
    image = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)

    half = halve_mean(image)

    padded = np.pad(image, [(0, n % 2) for n in shape], mode="edge").astype(int)
    total = padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]
    assert (half == (total + 2) // 4).all()


def test_ids_are_kept_and_never_mixed():
    instances = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype="uint32")

    assert halve_nearest(instances).tolist() == [[1, 3], [7, 9]]


def test_an_image_of_integers_has_exact_percentiles():
    image = np.repeat(np.arange(100, dtype="uint8"), 10).reshape(25, 40)
    summary = PixelSummary(image.shape, image.dtype)

    summary.merge(summarise_block((0, 0), image))
    statistics = summary.statistics(image)

    assert (statistics["min"], statistics["max"], statistics["mean"]) == (0.0, 99.0, 49.5)
    assert statistics["percentiles"]["50"] == 49.0
    assert statistics["percentiles"]["99"] == 98.0


def test_a_pixel_that_is_not_finite_is_not_lost_among_the_blocks():
    summary = PixelSummary((1, 4), np.dtype("float32"))

    for x, block in enumerate([[1.0], [np.nan], [2.0], [3.0]]):
        summary.merge(summarise_block((0, x), np.array([block], dtype="float32")))

    assert np.isnan(summary.minimum)
    assert np.isnan(summary.maximum)
