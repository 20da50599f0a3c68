import numpy as np
import pytest

from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.segmentation.background import estimate_background
from pipelines.segmentation.method import load_method
from pipelines.segmentation.overview import GreyLevels, otsu
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey, survey_mosaic


def survey(tmp_path, image, method="otsu", **given):
    path = tmp_path / "m.ome.zarr"
    write_mosaic(path, image, pixel_size_nm=None)
    settings = SegmentationSettings(method=method, **given)
    return survey_mosaic(open_mosaic(path), load_method(method).lifts, settings)


def discs(rng, shape=(600, 700), *, share=0.2, contrast=60.0, noise=5.0):
    """A flat background at zero with discs of radius 12, about ``share`` of the area."""
    image = rng.normal(0, noise, shape)
    y, x = np.mgrid[-12:13, -12:13]
    disc = y**2 + x**2 <= 144
    for _ in range(int(share * shape[0] * shape[1] / disc.sum())):
        top, left = (int(rng.integers(0, n - 25)) for n in shape)
        part = image[top : top + 25, left : left + 25]
        part[disc] = contrast + rng.normal(0, noise, int(disc.sum()))
    return image


def test_otsu_parts_two_classes():
    values = np.concatenate([np.full(900, 10.0), np.full(100, 50.0)])

    assert 10 < otsu(values) < 50


def test_one_value_has_nothing_to_part():
    assert otsu(np.full(9, 4.0)) == 0.0


@pytest.mark.parametrize("sign", [1, -1])
def test_polarity_threshold_and_background_are_found(tmp_path, rng, sign):
    image = 100 + sign * discs(rng)

    found = survey(tmp_path, np.clip(image, 0, 255).astype(np.uint8))

    assert found.bright == (sign > 0)
    assert np.abs(found.backgrounds.astype(float) - 100).max() <= 2
    assert np.abs(found.thresholds.astype(float) - (100 + sign * 30)).max() <= 12
    assert found.contrast == pytest.approx(60, abs=5)


def test_a_gradient_as_strong_as_the_particles_is_flattened(tmp_path, rng):
    ramp = np.linspace(40, 120, 700)[None, :]

    found = survey(tmp_path, np.clip(ramp + discs(rng), 0, 255).astype(np.uint8), flatten_px=256)

    expected = np.broadcast_to(ramp, (600, 700))[:: found.block_px, :: found.block_px]
    assert np.abs(found.backgrounds - expected).mean() < 4


def test_a_dense_layer_is_not_taken_for_background(rng):
    image = 50 + discs(rng, share=0.05)
    image[100:400, 150:500] = 50 + discs(rng, (300, 350), share=3.0)

    found = estimate_background(image.astype(np.float32), 200, bright=True)

    assert np.abs(found - 50).max() < 15


def test_without_flattening_the_background_is_one_grey_level(rng):
    found = estimate_background((70 + discs(rng)).astype(np.float32), 0, bright=True)

    assert np.ptp(found) == 0
    assert found[0, 0] == pytest.approx(70, abs=3)


def test_noise_alone_has_next_to_no_pixel_beyond_the_threshold(tmp_path, rng):
    image = np.clip(rng.normal(100, 10, (500, 500)), 0, 255).astype(np.uint8)

    found = survey(tmp_path, image)

    assert found.thresholds.min() - 100 >= 3 * found.noise - 2


def test_a_threshold_that_is_given_is_used(tmp_path, rng):
    found = survey(tmp_path, np.clip(100 + discs(rng), 0, 255).astype(np.uint8), threshold=17.0)

    assert set(np.unique(found.thresholds.astype(int) - found.backgrounds)) <= {16, 17, 18}


def test_more_noise_calls_for_more_smoothing(tmp_path, rng):
    clear = survey(tmp_path, np.clip(100 + discs(rng, noise=3), 0, 255).astype(np.uint8))
    noisy = survey(tmp_path / "noisy", np.clip(100 + discs(rng, noise=40), 0, 255).astype(np.uint8))

    assert clear.smooth_px == 1.0
    assert noisy.smooth_px > 1.0


def test_a_local_threshold_follows_the_contrast(tmp_path, rng):
    image = 60 + discs(rng, share=0.3) * np.linspace(0.5, 2, 700)[None, :]

    found = survey(tmp_path, np.clip(image, 0, 255).astype(np.uint8), "local", flatten_px=256)

    lifts = found.thresholds.astype(float) - found.backgrounds
    quarter = lifts.shape[1] // 4
    assert lifts[:, -quarter:].mean() > 1.5 * lifts[:, :quarter].mean()


def test_floats_are_worked_with_as_integers(tmp_path, rng):
    image = (discs(rng) / 1000).astype(np.float32)
    image[5, 5] = 1e6

    found = survey(tmp_path, image)
    working = found.grey.working(image)

    assert working.dtype == found.thresholds.dtype == np.uint16
    # The hot pixel did not take the range.
    assert found.contrast > 1000


def test_integers_are_worked_with_as_they_are():
    image = np.arange(9, dtype=np.uint16).reshape(3, 3)

    assert GreyLevels().working(image) is image


def test_a_survey_comes_back_as_it_was_written(tmp_path, rng):
    found = survey(tmp_path, np.clip(100 + discs(rng), 0, 255).astype(np.uint8))

    again = Survey.from_bytes(found.to_bytes())

    assert np.array_equal(again.backgrounds, found.backgrounds)
    assert np.array_equal(again.thresholds, found.thresholds)
    assert again.to_bytes() == found.to_bytes()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (513, 2)])
def test_images_of_any_shape_can_be_surveyed(tmp_path, rng, shape):
    found = survey(tmp_path, rng.integers(0, 255, shape).astype(np.uint8))

    assert found.thresholds.shape == found.backgrounds.shape
