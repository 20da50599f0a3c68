import numpy as np
import pytest

from pipelines.defects.patches import normalise
from pipelines.defects.pseudo import KINDS, clouds, insert, learn_recipe
from pipelines.simulation.honeycomb_image import Imaging


@pytest.fixture(scope="module")
def recipe(clean_lattice):
    own = clean_lattice.take(clean_lattice.images == "image-0")
    return normalise(own.pixels), learn_recipe(own.pixels)


def test_atoms_are_as_wide_as_they_were_drawn(recipe):
    _, learnt = recipe

    assert learnt.shape.sd_px == pytest.approx(Imaging().atom_sd_px, rel=0.35)
    assert learnt.height > 0.5


def test_what_is_changed_is_under_the_mask_and_some_patches_stay_as_they_are(recipe, rng):
    patches, learnt = recipe
    changed_share = []

    for i in range(60):
        changed, mask = insert(patches[i % 16], patches[3], learnt, i % 16, rng=rng)
        moved = np.abs(changed - patches[i % 16])
        assert set(np.unique(mask)) <= {0.0, 1.0}
        assert (moved[mask == 1].mean() if mask.any() else 1) > 4 * moved[mask == 0].mean()
        changed_share.append(mask.any())

    assert np.mean(changed_share) == pytest.approx(sum(KINDS.values()), abs=0.2)


def test_clouds_are_smooth_and_balanced(rng):
    cloud = clouds((64, 64), rng=rng)

    assert cloud.shape == (64, 64)
    assert np.median(cloud) == pytest.approx(0, abs=1e-9)
    assert np.abs(np.diff(cloud, axis=0)).max() < 0.3 * np.ptp(cloud)
