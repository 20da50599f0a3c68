import numpy as np
import pytest

from pipelines.simulation.geometry import (
    centre_of_mass,
    cut,
    hull_of,
    outline,
    resting_facets,
    rotation,
    rotation_onto,
    twisted_bipyramid,
)

CUBE = np.array([[x, y, z] for x in (0, 2) for y in (0, 2) for z in (0, 2)], dtype=float)
UP = np.array([0.0, 0.0, 1.0])


def bipyramid(twist_deg=20.0):
    return twisted_bipyramid(radius=10, length=30, waist=3, twist_rad=np.radians(twist_deg))


def test_a_right_handed_twist_turns_the_upper_triangle_anticlockwise_seen_from_above():
    corners = bipyramid(twist_deg=20)
    upper, lower = corners[2], corners[5]

    turn = np.arctan2(upper[1], upper[0]) - np.arctan2(lower[1], lower[0])

    assert upper[2] > lower[2]
    assert np.degrees(turn) == pytest.approx(20)


def test_mirroring_a_bipyramid_gives_the_opposite_twist():
    mirrored = hull_of(bipyramid(20)).mirrored().corners
    opposite = hull_of(bipyramid(-20) @ np.diag([-1, 1, 1]) @ np.diag([-1, 1, 1])).corners

    # The triangles' first corners lie on x, so mirror about y to compare them in place.
    mirrored = mirrored @ rotation(UP, np.pi).T

    def ordered(corners):
        return np.array(sorted(corners.round(9).tolist()))

    np.testing.assert_allclose(ordered(mirrored), ordered(opposite), atol=1e-9)


def test_an_untwisted_bipyramid_is_its_own_mirror_image():
    corners = bipyramid(0)

    reflected = corners @ np.diag([1, -1, 1])

    distances = np.linalg.norm(corners[:, None] - reflected[None], axis=-1)
    assert distances.min(axis=1).max() < 1e-9


def test_triangles_of_one_plane_become_one_facet():
    assert len(hull_of(CUBE).planes) == 6


def test_points_inside_lie_below_every_facet():
    planes = hull_of(CUBE).planes

    assert (planes[:, :3] @ [1, 1, 1] < planes[:, 3]).all()
    assert (planes[:, :3] @ [1, 1, 2.1] > planes[:, 3]).any()


def test_a_cut_corner_leaves_a_triangle_in_its_place():
    diagonal = np.ones(3) / np.sqrt(3)

    left = cut(hull_of(CUBE), diagonal, 5 / np.sqrt(3))

    assert len(left.planes) == 7
    assert len(left.corners) == 10
    assert (left.corners @ diagonal).max() == pytest.approx(5 / np.sqrt(3))


@pytest.mark.parametrize("offset", [-1.0, 9.0])
def test_a_cut_that_misses_or_would_leave_nothing_changes_nothing(offset):
    cube = hull_of(CUBE)

    assert cut(cube, UP, offset) is cube


def test_a_cube_rests_on_each_face_alike():
    facets, chances = resting_facets(hull_of(CUBE))

    assert sorted(facets) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(chances, 1 / 6)


def test_a_leaning_tower_does_not_rest_on_its_foot():
    leaning = CUBE * [1, 1, 3] + np.array([1.5, 0, 0]) * (CUBE[:, 2:] > 0) * 3
    tower = hull_of(leaning)

    facets, chances = resting_facets(tower)

    assert not any(abs(tower.planes[k, 2]) > 0.999 for k in facets)
    assert chances.sum() == pytest.approx(1)


def test_a_flat_box_lands_on_its_large_faces_most_often():
    facets, chances = resting_facets(box := hull_of(CUBE * [1, 1, 0.2]))

    large = [abs(box.planes[k, 2]) > 0.9 for k in facets]

    assert chances[large].sum() > 0.8


def test_the_centre_of_mass_of_a_pyramid_lies_a_quarter_up():
    pyramid = hull_of(np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0], [1, 1, 4.0]]))

    np.testing.assert_allclose(centre_of_mass(pyramid), [1, 1, 1])


def test_a_rotation_turns_anticlockwise():
    np.testing.assert_allclose(rotation(UP, np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("source", [[0, 0, 1], [0, 0, -1], [0, 1, 0], [0.6, 0, 0.8]])
def test_the_shortest_rotation_arrives_and_never_mirrors(source):
    turn = rotation_onto(np.array(source, dtype=float), np.array([0, 0, -1.0]))

    np.testing.assert_allclose(turn @ source, [0, 0, -1], atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_a_moved_solid_keeps_its_shape():
    solid = hull_of(CUBE).shifted(np.array([5.0, 0, 1]))

    assert solid.corners.min(axis=0).tolist() == [5, 0, 1]
    assert (solid.planes[:, :3] @ [6, 1, 2] < solid.planes[:, 3]).all()
    assert solid.reach == pytest.approx(np.hypot(7, 2))


def test_the_outline_runs_anticlockwise_about_the_solid():
    corners = outline(hull_of(CUBE))

    following = np.roll(corners, -1, axis=0)
    area = (corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum() / 2
    assert area == pytest.approx(4)
