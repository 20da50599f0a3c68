import numpy as np
import pytest

from pipelines.defects.lattice_sites import (
    CHANNELS,
    bonds,
    find_oddities,
    find_sites,
    learn_noise,
    learn_shape,
    match,
    standardise,
)
from pipelines.simulation.honeycomb import honeycomb, insert_defects
from pipelines.simulation.honeycomb_image import Imaging, render_lattice

SHAPE = (128, 128)


@pytest.fixture
def perfect():
    return honeycomb(SHAPE, bond_px=7.1, angle_rad=0.4, shift_yx=(0.0, 0.0))


def render(lattice, contrast="stem"):
    return render_lattice(lattice, SHAPE, Imaging(contrast=contrast)).astype(np.float32)


@pytest.mark.parametrize(("contrast", "sign"), [("stem", 1), ("phase", -1)])
def test_sign_spacing_and_width_of_atoms_are_learnt(perfect, contrast, sign):
    shape = learn_shape(render(perfect, contrast))

    assert shape.sign == sign
    assert shape.spacing_px == pytest.approx(7.1, abs=0.8)
    assert shape.sd_px == pytest.approx(Imaging().atom_sd_px, rel=0.35)


def test_sites_are_the_atoms(perfect):
    image = render(perfect)

    sites = find_sites(image, learn_shape(image))

    y, x = perfect.positions_yx.T
    inside = perfect.positions_yx[(y > 2) & (y < 125) & (x > 2) & (x < 125)]
    nearest = np.abs(inside[:, None] - sites).sum(axis=2).min(axis=1)
    assert nearest.max() < 2


def test_a_honeycomb_has_three_bonds_for_two_atoms(perfect):
    image = render(perfect)
    shape = learn_shape(image)
    sites = find_sites(image, shape)

    pairs = bonds(sites, shape.spacing_px)

    assert len(pairs) / len(sites) == pytest.approx(1.5, abs=0.12)


def test_a_flat_image_has_neither_sites_nor_bonds():
    flat = np.zeros(SHAPE, np.float32)

    shape = learn_shape(flat)

    assert len(find_sites(flat, shape)) == 0
    assert set(find_oddities(flat, flat, shape).channels) <= {3, 4}


def test_matched_noise_keeps_its_sd_up_to_the_corner(rng):
    noise = rng.normal(size=(400, 24, 24)).astype(np.float32)

    matched = np.stack([match(each, 2.0) for each in noise])

    sd = matched.std(axis=0)
    assert sd[12, 12] == pytest.approx(1, abs=0.12)
    assert sd[0, 0] == pytest.approx(1, abs=0.12)
    assert sd[0, 12] == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(
    ("kind", "channel"), [("vacancy", "site"), ("divacancy", "pair"), ("stone-wales", "turn")]
)
def test_each_kind_is_oddest_where_it_is_and_in_its_own_channel(perfect, rng, kind, channel):
    changed, (defect,) = insert_defects(perfect, SHAPE, {kind: 1}, rng=rng)
    image = render(perfect)
    noise = 0.3 * rng.normal(size=SHAPE).astype(np.float32)
    residual = render(changed) - image + noise
    shape = learn_shape(image)

    quiet = find_oddities(noise, image, shape)
    level = learn_noise([noise], [quiet], shape)
    found = standardise(find_oddities(residual, image, shape), level)

    at = found.channels == CHANNELS.index(channel)
    best = found.positions_yx[at][found.values[at].argmax()]
    assert np.hypot(*(best - np.array([defect.y, defect.x]))) < 4
    assert found.values[at].max() > 10
