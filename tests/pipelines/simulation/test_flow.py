from dataclasses import replace

import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.simulation.flow import (
    check,
    default_count,
    draw_scene,
    particles_shown,
    render_scene,
)
from pipelines.simulation.presets import PRESETS
from pipelines.simulation.workers import open_workers


def rendered(order, n_workers=1):
    """Render all of an order: pixels, instances, and the hands by instance."""
    grey = np.zeros((order.size_px, order.size_px), np.uint8)
    ids = np.zeros((order.size_px, order.size_px), np.uint32)
    with open_workers(n_workers) as pool:
        scene, acquisition = draw_scene(order, pool)
        for tile in render_scene(order, scene, acquisition, pool, block_px=128):
            grey[tile.window.slices] = tile.grey
            ids[tile.window.slices] = tile.instances
    return grey, ids, [particle.hand for particle in particles_shown(order, scene)]


def scene_of(order):
    with open_workers(1) as pool:
        return draw_scene(order, pool)


def test_two_workers_make_the_same_pixels_as_one(order):
    alone, shared = rendered(order), rendered(order, n_workers=2)

    np.testing.assert_array_equal(shared[0], alone[0])
    np.testing.assert_array_equal(shared[1], alone[1])


def test_another_seed_makes_another_mosaic(order):
    assert (rendered(order)[0] != rendered(replace(order, seed=12))[0]).mean() > 0.5


def test_a_mirrored_image_is_the_finished_one_flipped_and_its_hands_swapped(order):
    grey, ids, hands = rendered(order)
    flipped_grey, flipped_ids, flipped_hands = rendered(replace(order, mirror="image"))

    np.testing.assert_array_equal(flipped_grey, grey[:, ::-1])
    np.testing.assert_array_equal(flipped_ids, ids[:, ::-1])
    assert flipped_hands == [{"left": "right", "right": "left"}[hand] for hand in hands]


def test_an_image_that_tiles_do_not_divide_is_flipped_too(order):
    ragged = replace(order, size_px=300)

    np.testing.assert_array_equal(
        rendered(replace(ragged, mirror="image"))[0], rendered(ragged)[0][:, ::-1]
    )


def test_true_enantiomers_lie_mirrored_under_the_same_acquisition(order):
    scene, acquisition = scene_of(order)
    mirrored_scene, same_acquisition = scene_of(replace(order, mirror="true-enantiomer"))

    assert same_acquisition == acquisition
    for before, after in zip(scene.particles, mirrored_scene.particles, strict=True):
        assert {before.hand, after.hand} == {"left", "right"}
        assert after.piece.centre_yx[1] == pytest.approx(256 - before.piece.centre_yx[1])


@pytest.mark.parametrize(("fraction", "n_left"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 9)])
def test_the_share_of_left_hands_is_met_to_the_nearest_particle(order, fraction, n_left):
    scene, _ = scene_of(replace(order, left_fraction=fraction))

    assert [particle.hand for particle in scene.particles].count("left") == n_left


def test_hands_change_nothing_of_the_acquisition(order):
    _, right = scene_of(replace(order, left_fraction=0.0))
    _, left = scene_of(replace(order, left_fraction=1.0))

    assert right == left


def test_achiral_particles_have_no_hand(order):
    scene, _ = scene_of(replace(order, achiral=True))

    assert {particle.hand for particle in scene.particles} == {"none"}


def test_every_particle_is_looked_at_alone_exactly_once(order):
    with open_workers(1) as pool:
        scene, acquisition = draw_scene(order, pool)
        tiles = list(render_scene(order, scene, acquisition, pool, block_px=128))

    assert sorted(k for tile in tiles for k in tile.alone) == list(range(1, 10))


def test_a_large_paper_mosaic_holds_about_a_thousand_particles():
    assert default_count(PRESETS["paper"], 4096, 2.0) == pytest.approx(1000, abs=20)
    assert default_count(PRESETS["paper"], 100, 2.0) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_px": 40}, r"--size-px: must hold one particle, at least \d+, got 40"),
        ({"pixel_size_nm": 50.0}, r"--pixel-size-nm: .* at most [\d.]+, got 50"),
    ],
)
def test_what_cannot_be_drawn_is_refused(order, change, message):
    with pytest.raises(SettingsError, match=message):
        check(replace(order, **change))
