import numpy as np

from pipelines.defects.found import Found, find_in_map, find_in_patches, kind_at
from pipelines.defects.known import KnownDefect


def test_odd_pixels_that_are_near_are_one_defect_at_the_oddest():
    oddness = np.full((60, 60), -10.0, np.float32)
    oddness[20, 20], oddness[24, 22], oddness[50, 50] = 3.0, 5.0, 2.0

    found = find_in_map(oddness, 1.0, y0=100, x0=200)

    assert [(f.y, f.x, f.score) for f in found] == [(124, 222, 5.0), (150, 250, 2.0)]
    assert found[0].size_px == 5
    assert found[1].size_px == 1


def test_a_map_below_the_threshold_has_nothing():
    assert find_in_map(np.zeros((9, 9), np.float32), 0.5) == []


def test_patches_that_are_flagged_are_found_in_their_middle():
    found = find_in_patches(np.array([[0, 0], [0, 8]]), np.array([0.2, 0.9]), 0.5, patch_px=8)

    assert found == [Found(3.5, 11.5, 8.0, 0.9)]


def test_a_place_has_the_kind_of_the_nearest_defect_that_it_touches():
    known = [KnownDefect("a", 10, 10, 4, "vacancy"), KnownDefect("a", 18, 10, 4, "adatom"),
             KnownDefect("a", 90, 90, 4)]  # fmt: skip

    assert kind_at(Found(16, 10, 1, 1.0), known) == "adatom"
    assert kind_at(Found(91, 90, 1, 1.0), known) == "defect"
    assert kind_at(Found(50, 50, 1, 1.0), known) is None
