"""What holds for every detector, each taught for a moment only."""

from dataclasses import fields, replace

import numpy as np
import pytest

from pipelines.defects import features
from pipelines.defects.catalogue import METHODS, draws_maps, get_detector
from pipelines.defects.model import fit_detector, read_defect_model, write_defect_model
from pipelines.defects.patches import assemble
from pipelines.defects.protocol import feed
from pipelines.defects.windows import Target, pool, score_image
from pipelines.records import Window


def quick(name):
    detector = get_detector(name)
    has_steps = "n_steps" in {field.name for field in fields(detector)}
    return replace(detector, n_steps=2) if has_steps else detector


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    before, features.STEPS = features.STEPS, 2
    features.learn_features.__kwdefaults__["n_steps"] = 2
    yield
    features.STEPS = before
    features.learn_features.__kwdefaults__["n_steps"] = before


@pytest.fixture(scope="module")
def fitted(vacancies):
    """Every detector with what it learnt."""
    detectors = {name: quick(name) for name in METHODS}
    return {
        name: (detector, fit_detector(detector, feed(detector, vacancies), seed=1))
        for name, detector in detectors.items()
    }


@pytest.mark.parametrize("name", METHODS)
def test_scores_are_a_finite_float_per_patch_and_not_all_equal(fitted, vacancies, name):
    detector, model = fitted[name]

    scores = detector.score(model, vacancies)

    assert scores.shape == (len(vacancies),)
    assert scores.dtype.kind == "f"
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("name", METHODS)
def test_a_model_that_was_written_and_read_gives_the_same_scores(fitted, vacancies, tmp_path, name):
    detector, model = fitted[name]
    write_defect_model(tmp_path / "m", model)

    again, _ = read_defect_model(tmp_path / "m")

    assert np.array_equal(detector.score(again, vacancies), detector.score(model, vacancies))


@pytest.mark.parametrize("name", METHODS)
def test_equal_seeds_give_equal_models(fitted, vacancies, name):
    detector, model = fitted[name]

    again = fit_detector(detector, feed(detector, vacancies), seed=1)

    assert model.arrays.keys() == again.arrays.keys()
    for key, values in model.arrays.items():
        assert np.array_equal(values, again.arrays[key]), key


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_patches_changes_no_score(fitted, vacancies, rng, name):
    detector, model = fitted[name]
    order = rng.permutation(len(vacancies))

    shuffled = detector.score(model, vacancies.take(order))

    assert shuffled == pytest.approx(detector.score(model, vacancies)[order], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["patch-core", "padim", "pseudo-defects", "fourier"])
def test_a_windows_map_is_a_piece_of_the_whole_map(fitted, vacancies, name):
    """The lattice's own, which needs a wider window, is in test_flow."""
    detector, model = fitted[name]
    own = vacancies.take(vacancies.images == "image-0")
    image = assemble(own)
    survey = detector.survey(model, own.pixels)
    whole = detector.score_map(model, survey, image, Window(0, 0, *image.shape), image.shape)

    window = Window(0, 0, 64, 64).grown(detector.halo_px(survey) + model.patch_px, image.shape)
    part = detector.score_map(model, survey, image[window.slices], window, image.shape)

    if name == "fourier":
        # Its transform knows where a window ends; what is left of that must be small.
        assert np.abs(part[:64, :64] - whole[:64, :64]).mean() < 0.2 * whole.std()
    else:
        assert np.allclose(part[:64, :64], whole[:64, :64], atol=1e-4)


@pytest.mark.parametrize("name", [name for name in METHODS if draws_maps(get_detector(name))])
def test_a_patchs_score_is_read_off_the_map(fitted, vacancies, name):
    detector, model = fitted[name]
    own = vacancies.take(vacancies.images == "image-0")
    image = assemble(own)
    target = Target("image-0", image.shape, model.patch_px, detector.survey(model, own.pixels))

    found = score_image(detector, model, target, image)

    origins = own.origins_yx
    assert np.array_equal(found.origins_yx, origins)
    expected = pool(found.oddness, origins, model.patch_px, detector.quantile)
    assert np.array_equal(found.scores, expected)
