"""The figures that the lattice detector is there for, on small sets: benchmarks have large ones."""

import numpy as np
import pytest

from pipelines.defects.catalogue import get_detector
from pipelines.defects.model import fit_detector
from pipelines.defects.patches import make_patches
from pipelines.defects.protocol import judge
from pipelines.evaluation.anomaly import score_curve


def recall(name, learn, test):
    detector = get_detector(name)
    scores = judge(detector, fit_detector(detector, learn, seed=0), test)
    certain = ~test.is_doubtful
    return score_curve(scores[certain], test.is_defect[certain]).recall_at(0.01)


@pytest.fixture(scope="module")
def noisy(make_lattice):
    """Clean images at an SNR of 1.5, to learn from."""
    return make_lattice(4, {}, snr=1.5, seed=8)[0]


@pytest.mark.parametrize("kind", ["vacancy", "divacancy", "stone-wales"])
def test_missing_and_turned_atoms_are_found_in_noise_that_hides_them(make_lattice, noisy, kind):
    test, _ = make_lattice(12, {kind: 1}, snr=1.5, seed=9)

    assert recall("lattice", noisy, test) >= 0.9


def test_an_atom_that_is_a_little_brighter_is_found(make_lattice, clean_lattice):
    test, _ = make_lattice(12, {"substitution": 1}, snr=5.0, seed=9)

    assert recall("lattice", clean_lattice, test) >= 0.9


def test_the_plain_fourier_residual_finds_defects_at_an_snr_of_5(make_lattice, clean_lattice):
    counts = {"vacancy": 1, "stone-wales": 1, "contamination": 1}
    test, _ = make_lattice(8, counts, snr=5.0, seed=10)

    assert recall("fourier", clean_lattice, test) >= 0.9


def test_the_lattice_constant_is_read_from_the_image(make_lattice, clean_lattice):
    """A model that learnt at one magnification is used at another."""
    from scipy.ndimage import zoom

    test, _ = make_lattice(8, {"vacancy": 1}, snr=4.0, size_px=320, seed=12)
    chosen = test.take(np.arange(len(test)))
    finer = make_patches(
        np.stack([zoom(p, 1.25, order=1)[:64, :64] for p in chosen.pixels]), images=chosen.images
    )

    detector = get_detector("lattice")
    model = fit_detector(detector, clean_lattice, seed=0)
    scores = detector.score(model, finer)

    # Nothing but noise and a vacancy in a few: most scores stay below the alarm's level.
    assert np.median(scores) < 0


def test_patches_on_their_own_can_be_scored_too(make_lattice, clean_lattice):
    """Without its neighbours a patch shows less at its border, and still most of it."""
    test, _ = make_lattice(12, {"divacancy": 1}, snr=3.0, seed=13)
    detector = get_detector("lattice")
    model = fit_detector(detector, clean_lattice, seed=0)
    alone = test.take(np.arange(0, len(test)))
    scattered = make_patches(
        alone.pixels, images=alone.images, origins_yx=alone.origins_yx * 3,
        is_defect=alone.is_defect, is_doubtful=alone.is_doubtful,
    )  # fmt: skip

    scores = judge(detector, model, scattered)

    certain = ~scattered.is_doubtful
    assert score_curve(scores[certain], scattered.is_defect[certain]).roc_auc > 0.9


def test_an_image_without_a_lattice_is_scored_by_its_spots(rng, clean_lattice):
    detector = get_detector("lattice")
    model = fit_detector(detector, clean_lattice, seed=0)
    image = rng.normal(size=(16, 64, 64)).astype(np.float32)
    y, x = np.mgrid[:64, :64]
    image[5] += 4 * np.exp(-((y - 30) ** 2 + (x - 20) ** 2) / (2 * 2.5**2))
    patches = make_patches(image, images=np.full(16, "noise"))

    assert detector.score(model, patches).argmax() == 5
