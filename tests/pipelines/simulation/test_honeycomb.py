import numpy as np
import pytest
from scipy.spatial import cKDTree

from pipelines.errors import SettingsError
from pipelines.simulation.honeycomb import honeycomb, insert_defects, join_grains

SHAPE = (120, 160)


@pytest.fixture
def perfect():
    return honeycomb(SHAPE, bond_px=7.0, angle_rad=0.3, shift_yx=(1.0, 2.0))


def inner(lattice):
    """Atoms that have all neighbours."""
    y, x = lattice.positions_yx.T
    return lattice.positions_yx[(y > 0) & (y < SHAPE[0]) & (x > 0) & (x < SHAPE[1])]


def test_every_atom_has_three_neighbours_at_one_bond(perfect):
    distances, _ = cKDTree(perfect.positions_yx).query(inner(perfect), k=5)

    assert np.allclose(distances[:, 1:4], 7.0)
    assert (distances[:, 4] > 1.7 * 7.0).all()


def test_the_lattice_covers_the_whole_image(perfect):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].reshape(2, -1)

    distance, _ = cKDTree(perfect.positions_yx).query(np.column_stack([y, x]))

    # The middle of a hexagon is one bond away from its corners.
    assert distance.max() <= 7.0 + 1e-6


@pytest.mark.parametrize(
    ("kind", "change"),
    [("vacancy", -1), ("divacancy", -2), ("stone-wales", 0), ("substitution", 0), ("adatom", 1)],
)
def test_a_kind_changes_the_number_of_atoms_as_it_should(perfect, rng, kind, change):
    changed, (defect,) = insert_defects(perfect, SHAPE, {kind: 1}, rng=rng)

    assert len(changed.positions_yx) - len(perfect.positions_yx) == change
    assert defect.kind == kind
    assert 0 <= defect.y < SHAPE[0]
    assert 0 <= defect.x < SHAPE[1]


def test_a_vacancy_is_where_the_truth_says(perfect, rng):
    changed, (defect,) = insert_defects(perfect, SHAPE, {"vacancy": 1}, rng=rng)

    place = [defect.y, defect.x]
    assert cKDTree(perfect.positions_yx).query(place)[0] == 0
    assert cKDTree(changed.positions_yx).query(place)[0] == pytest.approx(7.0)


def test_a_turned_bond_stands_across_the_old_one(perfect, rng):
    changed, (defect,) = insert_defects(perfect, SHAPE, {"stone-wales": 1}, rng=rng)

    def bond(lattice):
        _, rows = cKDTree(lattice.positions_yx).query([defect.y, defect.x], k=2)
        step = np.subtract(*lattice.positions_yx[rows])
        return step / np.hypot(*step)

    assert bond(perfect) @ bond(changed) == pytest.approx(0, abs=1e-9)


def test_a_substitution_is_as_bright_as_it_was_asked_to_be(perfect, rng):
    changed, _ = insert_defects(perfect, SHAPE, {"substitution": 2}, substitute_height=1.3, rng=rng)

    assert np.sort(changed.heights)[-3:].tolist() == [1.0, 1.3, 1.3]


def test_defects_keep_their_distance(perfect, rng):
    _, defects = insert_defects(perfect, SHAPE, {"vacancy": 4, "adatom": 3}, rng=rng)

    places = np.array([[d.y, d.x] for d in defects])
    distance, _ = cKDTree(places).query(places, k=2)
    assert distance[:, 1].min() > 3 * 7.0


def test_more_defects_than_fit_are_refused(perfect, rng):
    with pytest.raises(SettingsError, match="do not fit into an image"):
        insert_defects(perfect, SHAPE, {"vacancy": 500}, rng=rng)


def test_an_unknown_kind_is_refused(perfect, rng):
    with pytest.raises(SettingsError, match=r"kind must be one of vacancy.* got 'hole'"):
        insert_defects(perfect, SHAPE, {"hole": 1}, rng=rng)


def test_grains_meet_without_atoms_on_top_of_each_other(perfect):
    other = honeycomb(SHAPE, bond_px=7.0, angle_rad=0.9, shift_yx=(0.0, 0.0))

    joined = join_grains(
        perfect, other, point_yx=np.array([60.0, 80.0]), normal_yx=np.array([0.0, 1.0])
    )

    distance, _ = cKDTree(joined.positions_yx).query(joined.positions_yx, k=2)
    assert distance[:, 1].min() > 0.6 * 7.0
    assert len(joined.positions_yx) == pytest.approx(len(perfect.positions_yx), rel=0.1)
