from dataclasses import replace

import pytest

from pipelines.simulation.flow import Order
from pipelines.simulation.presets import PRESETS


def small_tiles(name="hard", tile_px=128):
    preset = PRESETS[name]
    return replace(preset, scan=replace(preset.scan, tile_px=tile_px))


@pytest.fixture
def order():
    """A crowded 256 px mosaic of four tiles, with every fault the hard preset has."""
    return Order(
        size_px=256,
        n_particles=9,
        left_fraction=0.5,
        preset=small_tiles(),
        seed=11,
        pixel_size_nm=2.5,
    )
