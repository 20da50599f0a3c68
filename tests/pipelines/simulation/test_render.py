from dataclasses import replace

import numpy as np
import pytest

from pipelines.records import Window
from pipelines.simulation.acquisition import draw_acquisition
from pipelines.simulation.flow import draw_scene
from pipelines.simulation.geometry import hull_of
from pipelines.simulation.particle import Piece
from pipelines.simulation.presets import PRESETS, Contrast
from pipelines.simulation.render import (
    draw_relief,
    expected_signal,
    margin,
    reaches,
    render_tile,
    widened,
)
from pipelines.simulation.scan import to_grey
from pipelines.simulation.scene import Scene
from pipelines.simulation.workers import open_workers

BOX = np.array([[x, y, z] for x in (-6, 6) for y in (-3, 3) for z in (0, 1)], dtype=float)


def box(instance, centre_yx, height=5.0):
    solid = hull_of(BOX * [1, 1, height])
    return Piece(instance, solid, np.ones(len(solid.planes)), centre_yx)


def relief_of(*pieces, size_px=40):
    window = Window(100, 200, 100 + size_px, 200 + size_px)
    ground = np.full(window.shape, 0.4, np.float32)
    return draw_relief(pieces, window, ground, Contrast(), detector_rad=0.0)


@pytest.fixture
def drawn(order):
    with open_workers(1) as pool:
        return draw_scene(order, pool)


def test_a_box_is_drawn_where_it_lies_with_its_height():
    relief = relief_of(box(1, (120.0, 230.0)))

    y, x = np.nonzero(relief.pieces)
    assert (y.min(), y.max() + 1) == (2 * 17, 2 * 23)
    assert (x.min(), x.max() + 1) == (2 * 24, 2 * 36)
    assert set(relief.z[relief.pieces == 1].tolist()) == {5.0}
    assert relief.yields[0, 0] == pytest.approx(0.4)


@pytest.mark.parametrize("heights", [(5.0, 8.0), (8.0, 5.0)])
def test_the_taller_of_two_is_in_front_in_either_order(heights):
    relief = relief_of(*(box(k, (120.0, 220.0), height) for k, height in enumerate(heights)))

    assert relief.z[40, 40] == 8
    assert relief.pieces[40, 40] == heights.index(8.0) + 1


def test_a_piece_outside_the_window_is_not_drawn():
    far = box(1, (10.0, 10.0))

    assert not reaches(far, Window(100, 200, 140, 240))
    assert relief_of(far).pieces.max() == 0


def test_up_in_the_solid_is_up_in_the_image():
    pointing_up = hull_of(np.array([[-5, -5, 0], [5, -5, 0], [0, 8, 0], [0, 0, 4.0]]))

    relief = relief_of(Piece(1, pointing_up, np.ones(len(pointing_up.planes)), (120.0, 220.0)))

    widths = (relief.pieces > 0).sum(axis=1)
    rows = np.nonzero(widths)[0]
    assert widths[rows[1]] < widths[rows[-2]]


def test_mirroring_specimen_and_acquisition_flips_the_picture_before_noise(order, drawn):
    scene, acquisition = drawn

    def picture(scene, acquisition):
        grey = np.zeros((256, 256), np.float32)
        ids = np.zeros((256, 256), np.uint32)
        for tile in acquisition.tiles:
            signal, instances = expected_signal(
                scene, acquisition, tile, order.preset, order.pixel_size_nm
            )
            grey[tile.window.slices] = to_grey(signal, tile, order.preset.scan)
            ids[tile.window.slices] = instances
        return grey, ids

    grey, ids = picture(scene, acquisition)
    mirrored_grey, mirrored_ids = picture(scene.mirrored(), acquisition.mirrored())

    assert np.abs(mirrored_grey - grey[:, ::-1]).max() < 1
    assert (mirrored_ids != ids[:, ::-1]).mean() < 1e-3
    # The acquisition does have directions: the specimen alone makes another picture.
    enantiomer, _ = picture(scene.mirrored(), acquisition)
    assert np.abs(enantiomer - grey[:, ::-1]).max() > 10


def test_pieces_far_from_a_tile_do_not_change_it(order, drawn):
    scene, acquisition = drawn
    tile = acquisition.tiles[0]
    window = widened(tile.window, margin(order.preset, order.pixel_size_nm))
    near = replace(
        scene,
        particles=tuple(p for p in scene.particles if reaches(p.piece, window)),
        debris=tuple(piece for piece in scene.debris if reaches(piece, window)),
    )

    whole = render_tile(scene, acquisition, tile, order.preset, order.pixel_size_nm)
    part = render_tile(near, acquisition, tile, order.preset, order.pixel_size_nm)

    assert len(near.particles) < len(scene.particles)
    np.testing.assert_array_equal(part.grey, whole.grey)
    np.testing.assert_array_equal(part.instances, whole.instances)


def test_particles_are_brighter_than_the_substrate(order, drawn):
    scene, acquisition = drawn
    tile = acquisition.tiles[0]

    rendered = render_tile(scene, acquisition, tile, order.preset, order.pixel_size_nm)

    inside = rendered.instances > 0
    assert rendered.grey[inside].mean() > 1.5 * rendered.grey[~inside].mean()


def test_without_faults_the_tiles_join_without_a_seam():
    size_px = 96
    easy = PRESETS["easy"]
    still = replace(
        easy.scan, tile_offset_grey=0.0, tile_gain=0.0, gradient=0.0, vignetting=0.0, tile_px=48
    )
    preset = replace(easy, scan=still)
    scene = Scene(size_px, 1, (), (box(0, (48.0, 48.0), 20.0),), 0.1)

    def picture(scan):
        acquisition = draw_acquisition(1, size_px, scan)
        grey = np.zeros((size_px, size_px), np.float32)
        for tile in acquisition.tiles:
            grey[tile.window.slices] = expected_signal(scene, acquisition, tile, preset, 2.0)[0]
        return grey

    np.testing.assert_allclose(
        picture(still), picture(replace(still, tile_px=96)), rtol=0, atol=1e-4
    )
