from dataclasses import replace

import numpy as np
import pytest

from pipelines.records import Window
from pipelines.simulation import scan as scanned
from pipelines.simulation.acquisition import TileScan
from pipelines.simulation.presets import Scan

TILE = TileScan(
    key=(0, 0),
    window=Window(0, 0, 60, 80),
    gain=1.0,
    offset_grey=0.0,
    gradient_yx=(0.0, 0.0),
    stage_yx_px=(0.0, 0.0),
    shear=0.0,
    beam_sd_px=1.0,
    astigmatism=0.0,
    stigma_rad=0.0,
    framed=False,
)
STILL = Scan(row_jitter_px=0.0, vignetting=0.0)


@pytest.mark.parametrize("delta", [0.4, 1.5])
@pytest.mark.parametrize("electrons", [20, 300])
def test_counted_electrons_have_the_variance_of_a_compound_poisson_process(delta, electrons, rng):
    signal = np.full((400, 400), delta, dtype=np.float32)

    counted = scanned.count_electrons(signal, electrons, rng=rng)

    assert counted.mean() == pytest.approx(delta, rel=0.01)
    assert counted.var() == pytest.approx(delta * (1 + delta) / electrons, rel=0.03)


def test_variance_grows_in_line_with_the_mean_over_twenty_doses(rng):
    doses = np.linspace(50, 1000, 20)
    signal = np.full((200, 200), 0.8, dtype=np.float32)

    electrons = [scanned.count_electrons(signal, dose, rng=rng) * dose for dose in doses]
    means = [counted.mean() for counted in electrons]
    variances = [counted.var() for counted in electrons]

    slope, intercept = np.polyfit(means, variances, 1)
    assert slope == pytest.approx(1.8, rel=0.03)
    assert np.corrcoef(means, variances)[0, 1] ** 2 > 0.99
    assert abs(intercept) < 0.05 * max(variances)


@pytest.mark.parametrize(("fast_x", "darker", "untouched"), [(1, 25, 15), (-1, 15, 25)])
def test_a_bright_place_leaves_a_dark_tail_along_the_scan(fast_x, darker, untouched):
    signal = np.full((3, 40), 0.4, dtype=np.float32)
    signal[1, 20] = 1.4

    charged = scanned.charge(signal, Scan(charging=0.2, charging_px=8), fast_x=fast_x, ground=0.4)

    assert charged[1, darker] < 0.4 - 1e-3
    assert charged[1, untouched] == pytest.approx(0.4)
    assert charged[1, 20] == pytest.approx(1.4)
    np.testing.assert_allclose(charged[0], 0.4)


def test_without_charging_nothing_changes():
    signal = np.ones((2, 3), np.float32)

    assert scanned.charge(signal, Scan(charging=0), fast_x=1, ground=0) is signal


def test_a_perfect_stage_reads_every_pixel_where_it_is(rng):
    x, y = scanned.displacement(TILE, STILL, fast_x=1, margin_px=5, rng=rng)

    assert x[7].tolist() == list(range(5, 85))
    assert y[:, 7].tolist() == list(range(5, 65))


def test_drift_shears_about_the_middle_and_the_stage_moves_all(rng):
    tile = replace(TILE, shear=0.1, stage_yx_px=(2.0, -1.0))

    x, y = scanned.displacement(tile, STILL, fast_x=1, margin_px=0, rng=rng)

    assert x[59, 0] - x[0, 0] == pytest.approx(5.9)
    assert x.mean() == pytest.approx(79 / 2 - 1, abs=1e-4)
    assert y[0, 0] == 2


def test_lines_that_run_the_other_way_jitter_the_other_way():
    jittery = replace(STILL, row_jitter_px=0.5)

    right, left = (
        scanned.displacement(
            TILE, jittery, fast_x=fast_x, margin_px=0, rng=np.random.default_rng(1)
        )[0]
        for fast_x in (1, -1)
    )

    columns = np.arange(80)
    np.testing.assert_allclose(right - columns, columns - left, atol=1e-4)
    assert np.abs(right - columns).max() > 0.3


def test_light_falls_along_its_gradient_and_towards_corners():
    tile = replace(TILE, gradient_yx=(0.0, 0.2))

    even = scanned.illumination(TILE, STILL)
    sloped = scanned.illumination(tile, STILL)
    vignetted = scanned.illumination(TILE, replace(STILL, vignetting=0.1))

    np.testing.assert_allclose(even, 1)
    assert sloped[0, -1] - sloped[0, 0] == pytest.approx(0.2, rel=0.02)
    assert vignetted[0, 0] < 0.92 < vignetted[30, 40]


def test_only_the_rim_of_a_framed_tile_is_darkened():
    light = scanned.illumination(replace(TILE, framed=True), replace(STILL, frame=0.1))

    assert light[0, 40] == pytest.approx(0.9)
    assert light[30, 40] == 1


def test_grey_levels_are_rounded_and_clipped(rng):
    silent = Scan(read_sd_grey=0.0, row_offset_grey=0.0)

    levels = scanned.digitise(np.array([[-5.0, 0.4, 99.6, 300.0]], np.float32), silent, rng=rng)

    assert levels.dtype == np.uint8
    assert levels.tolist() == [[0, 0, 100, 255]]


def test_line_offsets_remember_the_line_before(rng):
    lines = Scan(read_sd_grey=0.0, row_offset_grey=8.0)

    levels = scanned.digitise(np.full((4000, 1), 128, np.float32), lines, rng=rng)[:, 0]

    offsets = levels.astype(float) - levels.mean()
    assert offsets.std() == pytest.approx(8, rel=0.15)
    assert np.corrcoef(offsets[1:], offsets[:-1])[0, 1] == pytest.approx(0.7, abs=0.06)


def test_gain_and_offset_make_the_steps_between_tiles():
    signal = np.ones((1, 1), np.float32)
    scan = Scan(grey_per_yield=100, black_grey=10)

    grey = scanned.to_grey(signal, replace(TILE, gain=1.1, offset_grey=-3), scan)

    assert grey[0, 0] == pytest.approx(117)
