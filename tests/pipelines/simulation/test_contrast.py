import numpy as np
import pytest

from pipelines.records import Window
from pipelines.simulation.contrast import beam_kernel, facet_yields, shade, substrate_texture
from pipelines.simulation.presets import Contrast

FLAT, STEEP = [0.0, 0.0, 1.0], [0.8, 0.0, 0.6]


def test_a_flat_facet_yields_one_and_a_steep_one_more():
    contrast = Contrast(side_light=0, slope_exponent=1, slope_limit=4)

    yields = facet_yields(np.array([FLAT, STEEP]), contrast, 0.0)

    np.testing.assert_allclose(yields, [1, 1 / 0.6])


def test_no_slope_yields_more_than_the_limit():
    steepest = np.array([[0.9999, 0.0, np.sqrt(1 - 0.9999**2)]])

    assert facet_yields(steepest, Contrast(side_light=0, slope_limit=2), 0.0) == 2


def test_the_side_that_faces_the_detector_is_brighter():
    contrast = Contrast(side_light=0.2)
    sides = np.array([STEEP, [-0.8, 0.0, 0.6]])

    right, left = facet_yields(sides, contrast, 0.0)

    assert right / left == pytest.approx((1 + 0.16) / (1 - 0.16))


def test_the_texture_goes_on_from_window_to_window():
    whole = substrate_texture(3, Window(-20, -20, 60, 900), width_px=880, flipped=False)
    part = substrate_texture(3, Window(10, 700, 30, 860), width_px=880, flipped=False)

    np.testing.assert_array_equal(part, whole[30:50, 720:880])
    assert whole.std() == pytest.approx(1, abs=0.3)


def test_a_flipped_texture_is_the_mirror_image():
    plain = substrate_texture(3, Window(0, -10, 40, 110), width_px=100, flipped=False)
    flipped = substrate_texture(3, Window(0, -10, 40, 110), width_px=100, flipped=True)

    np.testing.assert_array_equal(flipped, plain[:, ::-1])


def roof(slope=0.7):
    """Make a ridge along y in the middle of a plate that hangs over the substrate on no side."""
    x = np.abs(np.arange(160) - 79.5) / 2
    z = np.broadcast_to(40 - slope * x, (160, 160))
    return np.ascontiguousarray(z, dtype=np.float32)


def test_a_ridge_is_brighter_than_the_even_facets_beside_it():
    signal = shade(roof(), np.ones((160, 160), np.float32), Contrast(shadow=0), px_per_nm=0.5)

    row = signal[40]
    assert row[38:42].max() > 1.2
    np.testing.assert_allclose(row[20:30], 1, atol=0.01)


def test_the_ground_beside_something_tall_is_dark_and_its_rim_bright():
    z = np.zeros((160, 160), np.float32)
    z[:, 80:] = 20

    signal = shade(z, np.ones_like(z), Contrast(), px_per_nm=0.5)

    row = signal[40]
    assert row[37] < 0.9 < row[5]
    assert row[41] > 1.3
    assert row[5] == pytest.approx(1, abs=0.01)


def test_the_beam_keeps_all_light_and_is_round_without_astigmatism():
    kernel = beam_kernel(1.0, astigmatism=0.0, stigma_rad=0.3)

    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-7)


def test_a_beam_elongated_along_y_is_taller_than_wide_and_mirrors_with_its_direction():
    tall = beam_kernel(1.0, astigmatism=0.3, stigma_rad=np.pi / 2)
    middle = len(tall) // 2
    slanted = beam_kernel(1.0, astigmatism=0.3, stigma_rad=0.5)

    assert tall[middle + 2, middle] > tall[middle, middle + 2]
    mirrored = beam_kernel(1.0, astigmatism=0.3, stigma_rad=-0.5)
    np.testing.assert_allclose(mirrored, slanted[:, ::-1], atol=1e-7)
