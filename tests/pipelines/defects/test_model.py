import numpy as np
import pytest

from pipelines.defects.catalogue import METHODS, draws_maps, get_detector
from pipelines.defects.model import (
    DefectModel,
    fit_detector,
    read_defect_model,
    write_defect_model,
)
from pipelines.defects.patches import make_patches
from pipelines.errors import ModelError, SettingsError


@pytest.mark.parametrize("name", METHODS)
def test_every_detector_says_its_name_what_it_does_and_what_it_learns_from(name):
    detector = get_detector(name)

    assert detector.name == name
    assert detector.summary
    assert detector.diet in ("clean", "all", "labelled")


def test_only_detectors_as_they_were_published_learn_from_unlabelled_defects():
    eats_all = {name for name in METHODS if get_detector(name).diet == "all"}

    assert eats_all == {
        "one-class-svm-published",
        "isolation-forest-published",
        "autoencoder-published",
    }


def test_an_unknown_detector_is_refused():
    with pytest.raises(SettingsError, match=r"--method must be one of lattice, .* got 'magic'"):
        get_detector("magic")


@pytest.mark.parametrize("what", ["is_defect", "is_doubtful"])
def test_a_detector_of_clean_patches_is_never_fitted_on_another(rng, what):
    bad = np.zeros(20, bool)
    bad[7] = True
    patches = make_patches(rng.normal(size=(20, 16, 16)), **{what: bad})

    with pytest.raises(ValueError, match="must be fitted on clean patches alone, got 1 bad"):
        fit_detector(get_detector("blur-maximum"), patches, seed=0)


@pytest.mark.parametrize(
    ("pixels", "bad", "message"),
    [
        (np.zeros((0, 16, 16)), np.zeros(0, bool), "has no normal patches to learn from"),
        (np.full((5, 16, 16), 7.0), np.zeros(5, bool), "all patches to learn from are constant"),
    ],
)
def test_there_must_be_something_to_learn_from(pixels, bad, message):
    with pytest.raises(SettingsError, match=message):
        fit_detector(get_detector("blur-maximum"), make_patches(pixels, is_defect=bad), seed=0)


def test_a_detector_of_labelled_defects_needs_one(rng):
    patches = make_patches(rng.normal(size=(5, 16, 16)))

    with pytest.raises(SettingsError, match="learns from defects too, and there is none"):
        fit_detector(get_detector("dense-net"), patches, seed=0)


def test_a_model_comes_back_as_it_was_written_without_any_pickle(tmp_path):
    model = DefectModel("padim", 64, {"mean": np.arange(3.0)}, {"n": 4})

    write_defect_model(tmp_path / "m", model, threshold=1.5)
    again, config = read_defect_model(tmp_path / "m")

    assert (again.method, again.patch_px, again.settings) == ("padim", 64, {"n": 4})
    assert again.arrays["mean"].tolist() == [0, 1, 2]
    assert config["threshold"] == 1.5
    assert {path.suffix for path in (tmp_path / "m").iterdir()} == {".json", ".safetensors"}


def test_a_model_of_something_else_is_refused(tmp_path):
    import torch

    from pipelines.training.checkpoint import write_model

    write_model(tmp_path / "m", {"w": torch.zeros(1)}, {"format_version": 1})

    with pytest.raises(ModelError, match="is not a defect detector"):
        read_defect_model(tmp_path / "m")


def test_those_that_can_draw_maps_do():
    assert {name for name in METHODS if draws_maps(get_detector(name))} == {
        "lattice",
        "fourier",
        "patch-core",
        "padim",
        "pseudo-defects",
    }
