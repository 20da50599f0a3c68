from dataclasses import replace

import numpy as np
import pytest

from pipelines.simulation.particle import draw_debris, draw_particle
from pipelines.simulation.presets import PRESETS

PAPER = PRESETS["paper"]


def draw(hand="right", *, seed=1, index=0, **shapes):
    return draw_particle(
        seed,
        index,
        hand,
        shapes=replace(PAPER.shapes, **shapes),
        facet_spread=0.04,
        particle_spread=0.05,
        pixel_size_nm=2.0,
    )


def heights(particle):
    return np.sort(particle.piece.solid.corners[:, 2])


@pytest.mark.parametrize("hand", ["right", "left", "none"])
def test_every_particle_lies_on_the_substrate(hand):
    lowest = [heights(draw(hand, index=k))[0] for k in range(20)]

    np.testing.assert_allclose(lowest, 0, atol=1e-9)


def test_a_left_handed_particle_is_the_mirror_image_of_the_right_handed_one():
    right, left = (draw(hand, index=4, tilt_sd_deg=0) for hand in ("right", "left"))

    def distances(particle):
        flat = particle.piece.solid.corners
        return np.linalg.norm(flat[:, None] - flat[None], axis=-1)

    np.testing.assert_allclose(distances(left), distances(right))
    np.testing.assert_allclose(heights(left), heights(right))
    # Equal distances leave the hand open; the sense of four corners tells it.
    sense = [
        np.linalg.det(p.piece.solid.corners[1:4] - p.piece.solid.corners[0]) for p in (right, left)
    ]
    assert sense[0] == pytest.approx(-sense[1])
    assert left.twist_deg == -right.twist_deg < 0


def test_what_is_drawn_does_not_depend_on_the_hand():
    particles = [draw(hand, index=9) for hand in ("right", "left", "none")]

    assert len({p.length_px for p in particles}) == 1
    assert len({p.radius_px for p in particles}) == 1
    assert len({p.truncation for p in particles}) == 1
    np.testing.assert_array_equal(particles[0].piece.gains, particles[1].piece.gains)


def test_an_achiral_particle_has_no_twist():
    assert draw("none").twist_deg == 0


def test_the_seed_and_the_index_alone_name_a_particle():
    assert heights(draw(index=3)).tolist() == heights(draw(index=3)).tolist()
    assert heights(draw(index=3)).tolist() != heights(draw(index=4)).tolist()
    assert heights(draw(seed=2)).tolist() != heights(draw(seed=1)).tolist()


def test_azimuths_go_all_round():
    azimuths = np.radians([draw(index=k).azimuth_deg for k in range(60)])

    assert abs(np.exp(1j * azimuths).mean()) < 0.3


def test_broken_and_chipped_particles_lose_something_but_stay_particles():
    whole = draw(index=2, broken_share=0, chipped_share=0, jitter=0)
    broken = draw(index=2, broken_share=1, chipped_share=1, jitter=0)

    assert max(broken.truncation) >= 0.2 > max(whole.truncation)
    assert (whole.chips, broken.chips >= 1) == (0, True)
    assert broken.piece.solid.reach > whole.radius_px / 2


def test_mirroring_a_particle_twice_changes_nothing():
    particle = draw(index=5)

    twice = particle.mirrored(100).mirrored(100)

    assert particle.mirrored(100).hand == "left"
    assert (twice.hand, twice.twist_deg) == ("right", particle.twist_deg)
    assert twice.azimuth_deg == pytest.approx(particle.azimuth_deg)
    np.testing.assert_array_equal(twice.piece.solid.planes, particle.piece.solid.planes)


def test_debris_is_small_and_no_particle():
    for index in range(20):
        piece = draw_debris(1, index, PAPER.crowding, pixel_size_nm=2.0)

        assert piece.instance == 0
        assert piece.solid.reach <= PAPER.crowding.debris_nm[1] / 2.0
        assert piece.solid.corners[:, 2].min() == pytest.approx(0)
