import cv2
import numpy as np
import pytest

from pipelines.simulation.geometry import outline
from pipelines.simulation.particle import draw_particle
from pipelines.simulation.presets import PRESETS
from pipelines.simulation.visibility import chirality_cue, isolated

Z = """
.......
.#####.
....##.
...##..
..##...
.##....
.#####.
.......
"""
T = """
.......
.#####.
.#####.
...#...
...#...
...#...
...#...
.......
"""


def picture(text):
    rows = np.array([[cell == "#" for cell in row] for row in text.split()], np.float32)
    return cv2.GaussianBlur(cv2.resize(rows, (84, 84)), (0, 0), 2)


def test_a_letter_without_a_mirror_axis_has_a_cue_and_one_with_it_has_none():
    assert chirality_cue(picture(Z)) > 0.4
    assert chirality_cue(picture(T)) < 0.12


@pytest.mark.parametrize("degrees", [37, 90, 160])
def test_turning_a_picture_leaves_its_cue(degrees):
    turn = cv2.getRotationMatrix2D((41.5, 41.5), degrees, 1)
    turned = cv2.warpAffine(picture(Z), turn, (84, 84))

    assert chirality_cue(turned) == pytest.approx(chirality_cue(picture(Z)), abs=0.05)


def test_mirroring_a_picture_leaves_its_cue():
    mirrored = np.ascontiguousarray(picture(Z)[:, ::-1])

    assert chirality_cue(mirrored) == pytest.approx(chirality_cue(picture(Z)), abs=0.03)


def test_an_empty_picture_has_no_cue():
    assert chirality_cue(np.zeros((20, 20), np.float32)) == 0


def test_twisted_particles_show_more_of_a_hand_than_untwisted_ones():
    preset = PRESETS["easy"]

    def cues(hand):
        return [
            isolated(
                draw_particle(
                    1,
                    index,
                    hand,
                    shapes=preset.shapes,
                    facet_spread=0.0,
                    particle_spread=0.0,
                    pixel_size_nm=2.0,
                ).piece,
                preset,
                2.0,
            )[0]
            for index in range(12)
        ]

    assert min(cues("right")) > np.median(cues("none"))
    assert np.median(cues("right")) > 2 * np.median(cues("none"))


def test_the_area_is_that_of_the_whole_particle():
    piece = draw_particle(
        1,
        0,
        "right",
        shapes=PRESETS["easy"].shapes,
        facet_spread=0.0,
        particle_spread=0.0,
        pixel_size_nm=2.0,
    ).piece
    corners = outline(piece.solid)
    following = np.roll(corners, -1, axis=0)
    area = (corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum() / 2

    assert isolated(piece, PRESETS["easy"], 2.0)[1] == pytest.approx(area, rel=0.01)
