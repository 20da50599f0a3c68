import numpy as np
import pytest

from pipelines.simulation.acquisition import draw_acquisition
from pipelines.simulation.presets import PRESETS, Scan


@pytest.mark.parametrize(("size_px", "n_tiles"), [(100, 1), (1024, 1), (1025, 4), (3000, 9)])
def test_tiles_cover_every_pixel_once(size_px, n_tiles):
    covered = np.zeros((size_px, size_px), dtype=int)

    tiles = draw_acquisition(1, size_px, Scan()).tiles
    for tile in tiles:
        covered[tile.window.slices] += 1

    assert len(tiles) == n_tiles
    assert (covered == 1).all()


def test_a_tile_keeps_its_faults_when_the_mosaic_grows():
    small, large = (draw_acquisition(5, size_px, Scan()) for size_px in (1024, 4096))

    assert small.tiles[0] == large.tiles[0]
    assert small.detector_rad == large.detector_rad


def test_seeds_give_other_directions():
    angles = [draw_acquisition(seed, 64, Scan()).detector_rad for seed in range(40)]

    assert abs(np.exp(1j * np.array(angles)).mean()) < 0.4


def test_mirroring_turns_every_direction_and_twice_is_nothing():
    acquisition = draw_acquisition(2, 1500, PRESETS["hard"].scan)

    mirrored = acquisition.mirrored()

    assert mirrored.fast_x == -acquisition.fast_x
    assert np.cos(mirrored.detector_rad) == pytest.approx(-np.cos(acquisition.detector_rad))
    assert np.sin(mirrored.detector_rad) == pytest.approx(np.sin(acquisition.detector_rad))
    before, after = acquisition.tiles[1], mirrored.tiles[1]
    assert after.window == (0, 0, 1024, 476)
    assert after.shear == -before.shear
    assert after.gradient_yx == (before.gradient_yx[0], -before.gradient_yx[1])
    assert after.gain == before.gain
    assert mirrored.mirrored().tiles == acquisition.tiles


def test_an_easy_scan_is_nearly_even():
    gains = [tile.gain for tile in draw_acquisition(3, 4096, PRESETS["easy"].scan).tiles]

    assert max(gains) / min(gains) < 1.1
