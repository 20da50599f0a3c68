import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from pipelines.segmentation.masks import distances, smooth, tidy
from pipelines.segmentation.persistence import SplitRule

SMOOTH_PX, HOLE_PX, RADIUS_PX = 1.0, 6, 9
SUPPORT_PX = math.ceil(3 * SMOOTH_PX) + HOLE_PX + RADIUS_PX + 2


def heights_above(threshold: int):
    def heights(image, window):
        mask = smooth(image, SMOOTH_PX) > threshold
        mask = tidy(mask, hole_px=HOLE_PX, speck_px=HOLE_PX, speck_area_px=12)
        return distances(mask, RADIUS_PX)

    return heights


def texture(seed: int, shape: tuple[int, int], grain_px: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    smoothed = gaussian_filter(noise, grain_px)
    smoothed -= smoothed.min()
    return (smoothed / max(float(smoothed.max()), 1e-9) * 255).astype(np.uint8)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 110), st.integers(1, 110)),
    grain_px=st.floats(0.5, 7),
    # From a few specks to a layer that percolates through everything.
    percentile=st.floats(3, 97),
    core_px=st.integers(5, 64),
    more_halo_px=st.integers(0, 9),
    rule=st.builds(SplitRule, st.sampled_from([0, 16, 48]), st.sampled_from([0, 0.1, 0.35])),
)
def test_any_tiles_in_any_order_find_what_one_tile_finds(
    in_tiles, seed, shape, grain_px, percentile, core_px, more_halo_px, rule
):
    image = texture(seed, shape, grain_px)
    heights = heights_above(int(np.percentile(image, percentile)))
    expected, one = in_tiles(image, heights, core_px=1000, halo_px=0, rule=rule)

    n_tiles = -(-shape[0] // core_px) * -(-shape[1] // core_px)
    order = np.random.default_rng(seed).permutation(n_tiles)
    halo_px = SUPPORT_PX + more_halo_px
    instances, many = in_tiles(
        image, heights, core_px=core_px, halo_px=halo_px, rule=rule, order=order
    )

    # Not only up to a renaming: the ids themselves are the same.
    assert np.array_equal(instances, expected)
    assert np.array_equal(many.sums, one.sums)
    assert many.n_uncertain == one.n_uncertain


def flat(image, window):
    """Heights that know nothing of the shape: all of a component is one plateau."""
    return np.where(image > 0, 100, 0).astype(np.uint16)


@pytest.mark.parametrize("core_px", [3, 4, 7, 16])
def test_plateaus_are_components(in_tiles, rng, core_px):
    from skimage.measure import label

    image = (rng.random((40, 45)) < 0.45).astype(np.uint8)

    instances, _ = in_tiles(image, flat, core_px=core_px, halo_px=1)

    # Both number components by their first pixel in raster order.
    assert np.array_equal(instances, label(image, connectivity=2))


def test_a_particle_over_many_tiles_is_one(in_tiles):
    image = np.zeros((64, 64), dtype=np.uint8)
    y, x = np.mgrid[:64, :64]
    image[(y - 31) ** 2 + (x - 33) ** 2 < 29**2] = 200

    instances, particles = in_tiles(image, heights_above(100), core_px=8, halo_px=SUPPORT_PX)

    assert np.array_equal(instances > 0, smooth(image, SMOOTH_PX) > 100)
    assert len(particles) == 1
    assert particles.crosses_seam.tolist() == [True]
    n_tiles_touched = int(instances.reshape(8, 8, 8, 8).any(axis=(1, 3)).sum())
    assert particles.n_links == n_tiles_touched - 1


def test_a_worm_that_comes_back_over_the_same_seams_is_one(in_tiles):
    image = np.zeros((33, 48), dtype=np.uint8)
    for row in range(2, 32, 6):
        image[row : row + 3, 2:46] = 200
    for turn, row in enumerate(range(5, 26, 6)):
        image[row : row + 3, 43:46] = 200 * (turn % 2 == 0)
        image[row : row + 3, 2:5] = 200 * (turn % 2 == 1)

    instances, particles = in_tiles(image, flat, core_px=8, halo_px=1)

    assert len(particles) == 1
    assert np.array_equal(instances > 0, image > 0)


def test_particles_that_touch_exactly_on_a_seam_stay_two(in_tiles):
    heights = np.zeros((8, 16), dtype=np.uint16)
    heights[2:6] = [0, 16, 32, 64, 96, 64, 32, 16, 16, 32, 64, 96, 64, 32, 16, 0]

    instances, particles = in_tiles(
        heights, lambda image, window: image, core_px=8, halo_px=1, rule=SplitRule(16, 0.2)
    )

    assert len(particles) == 2
    assert (instances[2:6, 1:8] == 1).all()
    assert (instances[2:6, 8:15] == 2).all()
    assert particles.crosses_seam.tolist() == [False, False]


def test_a_glyph_comes_out_as_it_went_in_and_not_mirrored(in_tiles):
    glyph = np.zeros((24, 24), dtype=np.uint8)
    glyph[3:21, 5:8] = glyph[3:6, 5:16] = glyph[11:14, 5:12] = 200

    instances, _ = in_tiles(glyph, flat, core_px=8, halo_px=1)

    assert np.array_equal(instances, (glyph > 0).astype(np.uint32))
    assert not np.array_equal(glyph, glyph[:, ::-1])
    assert not np.array_equal(glyph, glyph[::-1])
