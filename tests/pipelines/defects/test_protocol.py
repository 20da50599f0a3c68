import numpy as np
import pytest

from pipelines.defects.model import DefectModel
from pipelines.defects.patches import make_patches
from pipelines.defects.protocol import cross_judge, grouped_folds, random_folds
from pipelines.errors import SettingsError
from pipelines.evaluation.anomaly import score_curve


class Spy:
    """A detector that remembers what it was given, and scores by mean brightness."""

    name, summary, diet = "spy", "", "clean"

    def __init__(self, diet="clean"):
        self.diet, self.learnt = diet, []

    def fit(self, patches, *, seed, watch=None):
        self.learnt.append(patches)
        return DefectModel("spy", patches.edge_px)

    def score(self, model, patches):
        return patches.pixels.mean(axis=(1, 2)).astype(np.float64)


@pytest.fixture
def archive(rng):
    """120 patches of 12 images of 4 sessions, two defects in each image."""
    images = np.repeat([f"i{k:02d}" for k in range(12)], 10)
    sessions = np.repeat([f"s{k}" for k in range(4)], 30)
    bad = np.arange(120) % 5 == 0
    pixels = rng.normal(size=(120, 16, 16)) + 0.3 * bad[:, None, None]
    return make_patches(pixels, images=images, sessions=sessions, is_defect=bad)


def judge(detector, archive, folds, groups):
    return cross_judge(detector, archive, folds, groups, false_positive_rate=0.05, seed=0)


def test_no_image_is_on_both_sides(archive):
    folds = grouped_folds(archive.images, 4, seed=0)
    spy = Spy()

    judge(spy, archive, folds, archive.images)

    for fold, learnt in enumerate(spy.learnt):
        assert not set(learnt.images) & set(archive.images[folds == fold])


def test_thresholds_come_from_images_that_were_neither_learnt_from_nor_tested(archive):
    folds = grouped_folds(archive.images, 4, seed=0)
    spy = Spy()

    judged = judge(spy, archive, folds, archive.images)

    for fold, learnt in enumerate(spy.learnt):
        seen = set(learnt.images) | set(archive.images[folds == fold])
        assert len(set(archive.images) - seen) >= 1
    assert len(judged.thresholds) == 4


def test_what_is_fitted_never_holds_a_defect(archive):
    spy = Spy()

    judge(spy, archive, grouped_folds(archive.images, 4, seed=0), archive.images)

    assert all(learnt.is_clean.all() for learnt in spy.learnt)


def test_a_published_detector_is_given_its_defects(archive):
    spy = Spy("all")

    judge(spy, archive, grouped_folds(archive.images, 4, seed=0), archive.images)

    assert all(learnt.is_defect.any() for learnt in spy.learnt)


def test_every_patch_is_judged_once(archive):
    judged = judge(Spy(), archive, random_folds(120, 4, seed=0), archive.images)

    assert np.isfinite(judged.scores).all()
    assert np.bincount(judged.fold).sum() == 120


def test_folds_hold_whole_groups_and_about_as_many_patches(archive):
    folds = grouped_folds(archive.images, 4, seed=0)

    for image in np.unique(archive.images):
        assert len(set(folds[archive.images == image])) == 1
    assert np.bincount(folds).tolist() == [30, 30, 30, 30]


def test_two_images_are_too_few():
    with pytest.raises(SettingsError, match=r"at least 3 images or sessions are needed.* got 2"):
        grouped_folds(np.array(["a", "a", "b"]), 4, seed=0)


def test_a_planted_leak_looks_good_on_a_random_split_and_is_chance_on_unseen_images(rng):
    """Defects are in the bright images and nothing but brightness tells them: the classic leak."""
    images = np.repeat([f"i{k:02d}" for k in range(20)], 30)
    light = np.repeat(rng.permutation(20), 30) * 0.5
    bad_image = np.isin(images, rng.choice(np.unique(images), 10, replace=False))
    bad = bad_image & (rng.random(600) < 0.4)
    pixels = rng.normal(0, 0.3, size=(600, 16, 16)) + light[:, None, None]
    patches = make_patches(pixels, images=images, is_defect=bad)
    detector = Memoriser()

    random = judge(detector, patches, random_folds(600, 5, seed=0), np.arange(600).astype(str))
    unseen = judge(detector, patches, grouped_folds(images, 5, seed=0), images)

    of_random = score_curve(random.scores, bad).roc_auc
    of_unseen = score_curve(unseen.scores, bad).roc_auc
    assert of_random > 0.75
    assert abs(of_unseen - 0.5) < 0.2
    assert of_random - of_unseen > 0.2


class Memoriser:
    """Knows brightness alone, and what it saw at a brightness before."""

    name, summary, diet = "memoriser", "", "labelled"

    def fit(self, patches, *, seed, watch=None):
        light = patches.pixels.mean(axis=(1, 2))
        return DefectModel("m", 16, {"light": light, "bad": patches.is_defect.astype(float)})

    def score(self, model, patches):
        light = patches.pixels.mean(axis=(1, 2))
        near = np.argsort(np.abs(light[:, None] - model.arrays["light"]), axis=1)[:, :15]
        return model.arrays["bad"][near].mean(axis=1) + 1e-6 * light
