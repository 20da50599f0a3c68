import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.mosaic.tiling import plan_tiles


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (65, 127), (3, 500)])
@pytest.mark.parametrize("halo_px", [0, 7])
def test_every_pixel_belongs_to_exactly_one_core(shape, halo_px):
    writes = np.zeros(shape, dtype=int)

    for tile in plan_tiles(shape, core_px=32, halo_px=halo_px):
        writes[tile.core.slices] += 1

    assert (writes == 1).all()


def test_tiles_are_numbered_in_row_major_order():
    tiles = plan_tiles((5, 7), core_px=4, halo_px=0)

    assert [tile.index for tile in tiles] == [0, 1, 2, 3]
    assert [tuple(tile.core) for tile in tiles] == [
        (0, 0, 4, 4),
        (0, 4, 4, 7),
        (4, 0, 5, 4),
        (4, 4, 5, 7),
    ]


def test_the_window_is_the_core_grown_by_the_halo_and_clipped():
    tiles = plan_tiles((12, 12), core_px=4, halo_px=2)

    assert tuple(tiles[0].window) == (0, 0, 6, 6)
    assert tuple(tiles[4].window) == (2, 2, 10, 10)


def test_the_core_is_found_inside_its_window():
    image = np.arange(12 * 12).reshape(12, 12)

    for tile in plan_tiles(image.shape, core_px=5, halo_px=3):
        window = image[tile.window.slices]
        assert (window[tile.core_in_window] == image[tile.core.slices]).all()


@pytest.mark.parametrize(
    ("shape", "core_px", "halo_px", "rule"),
    [
        ((4, 4), 0, 0, "core_px must be positive, got 0"),
        ((4, 4), 4, -1, "halo_px must not be negative, got -1"),
        ((0, 4), 4, 0, r"at least one pixel, got shape \(0, 4\)"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(shape, core_px, halo_px, rule):
    with pytest.raises(SettingsError, match=rule):
        plan_tiles(shape, core_px=core_px, halo_px=halo_px)
