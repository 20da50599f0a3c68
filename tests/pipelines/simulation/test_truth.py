import json

import numpy as np
import pytest

from pipelines.records import Window
from pipelines.simulation.particle import draw_particle
from pipelines.simulation.presets import PRESETS
from pipelines.simulation.truth import Sighting, flipped, sightings, truth_rows

TILE = np.array(
    [
        [0, 0, 7, 7, 0],
        [0, 0, 7, 9, 0],
        [4, 0, 0, 0, 0],
    ],
    dtype=np.uint32,
)


def particle(instance, hand="right"):
    return draw_particle(
        1,
        instance - 1,
        hand,
        shapes=PRESETS["easy"].shapes,
        facet_spread=0.0,
        particle_spread=0.0,
        pixel_size_nm=2.0,
    )


def rows(particles, found, alone, size_px=100):
    return truth_rows("m", particles, found, alone, size_px=size_px, pixel_size_nm=2.0)


def seen(instance, area_px=10, *, y=50.0, x=50.0, box=None, touching=False):
    box = box or Window(int(y), int(x), int(y) + 1, int(x) + 1)
    return Sighting(instance, area_px, y * area_px, x * area_px, box, touching)


def test_each_particle_of_a_tile_is_measured_in_mosaic_coordinates():
    found = {s.instance: s for s in sightings(TILE, Window(100, 200, 103, 205))}

    assert sorted(found) == [4, 7, 9]
    assert found[7].area_px == 3
    assert found[7].sum_y / 3 == pytest.approx(100 + 1 / 3)
    assert found[7].sum_x / 3 == pytest.approx(202 + 1 / 3)
    assert found[7].box == Window(100, 202, 102, 204)


def test_particles_that_share_a_border_touch():
    found = {s.instance: s.touching for s in sightings(TILE, Window(0, 0, 3, 5))}

    assert found == {4: False, 7: True, 9: True}


def test_an_empty_tile_shows_nothing():
    assert sightings(np.zeros((4, 4), np.uint32), Window(0, 0, 4, 4)) == []


def test_a_flipped_sighting_is_that_of_the_flipped_tile():
    direct = sightings(np.ascontiguousarray(TILE[:, ::-1]), Window(0, 3, 3, 8))

    turned = [flipped(s, 8) for s in sightings(TILE, Window(0, 0, 3, 5))]

    assert turned == direct


def test_parts_from_two_tiles_make_one_row():
    found = [seen(1, 10, y=4, x=6), seen(1, 30, y=8, x=6, touching=True)]

    (row,) = rows([particle(1)], found, {1: (0.8, 40)})

    assert row["area_px"] == 40
    assert (row["centroid_y_px"], row["centroid_x_px"]) == (7, 6)
    assert (row["label"], row["determinable"], row["visibility"]) == ("right", True, 0.8)
    attributes = json.loads(row["attributes"])
    assert attributes["touching"] is True
    assert attributes["occluded_fraction"] == 0


@pytest.mark.parametrize(
    ("cue", "area_px", "determinable"),
    [(0.8, 100, True), (0.3, 100, False), (0.8, 60, False), (0.5, 80, False)],
)
def test_a_hand_is_determinable_where_cue_and_particle_show(cue, area_px, determinable):
    (row,) = rows([particle(1)], [seen(1, area_px)], {1: (cue, 100)})

    assert row["determinable"] is determinable
    assert row["visibility"] == pytest.approx(cue * area_px / 100)


def test_an_achiral_particle_is_never_determinable():
    (row,) = rows([particle(1, "none")], [seen(1, 100)], {1: (0.9, 100)})

    assert (row["label"], row["determinable"]) == ("none", False)


def test_a_particle_of_which_nothing_shows_has_no_row():
    found = rows([particle(1), particle(2)], [seen(2)], {1: (0.8, 10), 2: (0.8, 10)})

    assert [row["truth_instance"] for row in found] == [2]


@pytest.mark.parametrize(
    ("box", "cut_off"),
    [
        (Window(0, 5, 9, 9), True),
        (Window(5, 5, 9, 100), True),
        (Window(1, 1, 99, 99), False),
    ],
)
def test_a_particle_at_the_border_of_the_mosaic_is_cut_off(box, cut_off):
    (row,) = rows([particle(1)], [seen(1, 10, box=box)], {1: (0.8, 10)})

    assert json.loads(row["attributes"])["cut_off"] is cut_off
