import numpy as np

from pipelines.segmentation.learned.normalisation import GREY_LIMIT, Normalisation


def test_the_range_of_the_mosaic_becomes_minus_one_to_one():
    levels = Normalisation(low=100.0, high=300.0)

    found = levels.apply(np.array([100, 200, 300], dtype=np.uint16))

    assert found.tolist() == [-1.0, 0.0, 1.0]


def test_a_pixel_is_normalised_alike_in_every_window(rng):
    image = rng.integers(0, 65535, (64, 64)).astype(np.uint16)
    levels = Normalisation.of(image)

    whole, part = levels.apply(image), levels.apply(image[13:40, 7:22])

    assert np.array_equal(whole[13:40, 7:22], part)


def test_a_hot_pixel_does_not_take_the_range(rng):
    image = rng.integers(100, 200, (100, 100)).astype(np.uint16)
    image[5, 5] = 65535

    levels = Normalisation.of(image)

    assert levels.high < 200
    assert levels.apply(image)[5, 5] == GREY_LIMIT


def test_a_flat_image_stays_flat():
    image = np.full((8, 8), 7, dtype=np.uint8)

    found = Normalisation.of(image).apply(image)

    assert np.array_equal(found, np.zeros((8, 8), dtype=np.float32))
