from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.simulation.geometry import outline
from pipelines.simulation.particle import draw_debris, draw_particle
from pipelines.simulation.presets import PRESETS
from pipelines.simulation.scene import Scene, place, scatter

PAPER = PRESETS["paper"]


def some_particles(n):
    return [
        draw_particle(
            1,
            index,
            "right",
            shapes=PAPER.shapes,
            facet_spread=0.0,
            particle_spread=0.0,
            pixel_size_nm=4.0,
        )
        for index in range(n)
    ]


def placed(n, size_px, rng, **crowding):
    changed = replace(PAPER.crowding, **crowding)
    return place(some_particles(n), size_px, changed, pixel_size_nm=4.0, rng=rng)


def meet(a, b):
    first, second = (
        (outline(p.piece.solid) * [1, -1] + np.array(p.piece.centre_yx)[::-1]).astype(np.float32)
        for p in (a, b)
    )
    return cv2.intersectConvexConvex(first, second)[0] > 0


def test_without_groups_no_two_particles_come_nearer_than_the_gap(rng):
    particles = placed(20, 400, rng, pair_share=0, cluster_share=0, gap_nm=20)

    for k, a in enumerate(particles):
        for b in particles[:k]:
            apart = np.hypot(*np.subtract(a.piece.centre_yx, b.piece.centre_yx))
            assert apart >= a.piece.solid.reach + b.piece.solid.reach + 5


def test_paired_particles_touch(rng):
    particles = placed(10, 400, rng, pair_share=1, cluster_share=0, leaning_share=0)

    touching = [any(meet(a, b) for b in particles if b is not a) for a in particles]

    assert all(touching)


def test_a_leaning_particle_is_tilted_and_overlaps(rng):
    particles = placed(10, 400, rng, pair_share=1, cluster_share=0, leaning_share=1)

    leaning = [particle for particle in particles if particle.leaning]

    assert len(leaning) == 5
    assert all(particle.tilt_deg > 0 for particle in leaning)
    assert all(particle.piece.solid.corners[:, 2].min() == pytest.approx(0) for particle in leaning)


def test_the_raised_side_of_a_leaning_particle_faces_its_neighbour(rng):
    particles = placed(2, 400, rng, pair_share=1, cluster_share=0, leaning_share=1)
    upper = next(particle for particle in particles if particle.leaning)
    lower = next(particle for particle in particles if not particle.leaning)

    step_y, step_x = np.subtract(lower.piece.centre_yx, upper.piece.centre_yx)
    towards = np.array([step_x, -step_y, 0]) / np.hypot(step_x, step_y)
    corners = upper.piece.solid.corners
    before = next(p for p in some_particles(2) if p.piece.instance == upper.piece.instance)
    rise = corners[:, 2] - before.piece.solid.corners[:, 2]

    near = corners @ towards
    assert np.polyfit(near, rise, 1)[0] > 0


def test_every_centre_lies_inside_the_mosaic(rng):
    centres = np.array([p.piece.centre_yx for p in placed(25, 300, rng)])

    assert (centres > 0).all()
    assert (centres < 300).all()


def test_particles_keep_their_order(rng):
    assert [p.piece.instance for p in placed(12, 400, rng)] == list(range(1, 13))


def test_too_many_particles_are_refused_with_their_number(rng):
    with pytest.raises(SettingsError, match=r"--particles: too many for 100 x 100 px, got 60"):
        placed(60, 100, rng)


def test_debris_falls_anywhere(rng):
    pieces = [draw_debris(1, k, PAPER.crowding, pixel_size_nm=4.0) for k in range(50)]

    centres = np.array([piece.centre_yx for piece in scatter(pieces, 200, rng=rng)])

    assert centres.min() >= 0
    assert centres.max() < 200
    assert centres.std() > 40


def test_mirroring_a_scene_swaps_hands_and_sides(rng):
    scene = Scene(300, 1, placed(5, 300, rng), (), 0.1)

    mirrored = scene.mirrored()

    assert {particle.hand for particle in mirrored.particles} == {"left"}
    assert mirrored.flipped
    for before, after in zip(scene.particles, mirrored.particles, strict=True):
        y, x = before.piece.centre_yx
        assert after.piece.centre_yx == (y, 300 - x)
