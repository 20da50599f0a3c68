from dataclasses import replace

import numpy as np
import pytest

from pipelines.classifiers.folds import assign_folds, calibrate, pick_particles, plan_folds
from pipelines.errors import LabelError, SettingsError
from pipelines.training.samples import UNKNOWN
from pipelines.training.splits import CLEAN_SMALL, SELECT, TEST, TRAIN

IDS = np.arange(103) * 977 + 5
LABELS = np.where(np.arange(103) < 20, 1, 0)


def folds_of(ids=IDS, labels=LABELS, n_folds=5, **more):
    return assign_folds(ids, labels, n_folds=n_folds, seed=2, **more)


def plan_all(plan, **changed):
    settings = {"n_folds": 4, "n_repeats": 2, "select_share": 0.2, "keys": ("digest",)}
    return plan_folds(plan, **(settings | changed))


def test_folds_are_of_equal_size_and_equal_shares_of_the_classes():
    folds = folds_of()

    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 1
    for label in (0, 1):
        sizes = np.bincount(folds[label == LABELS], minlength=5)
        assert sizes.max() - sizes.min() <= 1


def test_a_particle_keeps_its_fold_in_any_order_of_rows():
    shuffled = np.random.default_rng(0).permutation(len(IDS))

    assert folds_of(IDS[shuffled], LABELS[shuffled]).tolist() == folds_of()[shuffled].tolist()


def test_other_keys_divide_otherwise():
    assert (folds_of(keys=("a", 0)) != folds_of(keys=("a", 1))).mean() > 0.5
    assert folds_of(keys=("a", 0)).tolist() == folds_of(keys=("a", 0)).tolist()


@pytest.mark.parametrize(
    ("n_folds", "problem"),
    [
        (1, "--folds must be at least 2, got 1"),
        (104, "--folds must be at most the number of labelled particles, 103, got 104"),
    ],
)
def test_numbers_of_folds_that_cannot_be_are_refused(n_folds, problem):
    with pytest.raises(SettingsError, match=problem):
        folds_of(n_folds=n_folds)


def test_a_particle_in_two_rows_is_refused():
    with pytest.raises(LabelError, match="one row per particle is needed, got 103 for 102"):
        folds_of(np.append(IDS[1:], IDS[5]))


def test_every_particle_is_held_out_once_in_every_repeat(plan):
    folds = plan_all(plan)

    for repeat in (0, 1):
        rows = np.concatenate([fold.held_out for fold in folds if fold.repeat == repeat])
        assert sorted(rows.tolist()) == list(range(100))
    assert len({fold.name for fold in folds}) == 8


def test_what_is_held_out_is_neither_trained_on_nor_chosen_by(plan):
    for fold in plan_all(plan):
        roles = fold.plan.roles
        assert np.flatnonzero(roles == TEST).tolist() == fold.held_out.tolist()
        assert (roles == SELECT).sum() == 15
        assert (roles == TRAIN).sum() == 60


def test_truth_is_kept_from_the_training(plan):
    assert all((fold.plan.true_labels == UNKNOWN).all() for fold in plan_all(plan))
    assert (plan.true_labels != UNKNOWN).all()


def test_trusted_particles_lend_their_truth_unless_they_are_held_out(plan):
    roles = np.where(np.arange(100) < 12, CLEAN_SMALL, plan.roles)

    for fold in plan_all(replace(plan, roles=roles)):
        lent = np.setdiff1d(np.arange(12), fold.held_out)
        assert np.flatnonzero(fold.plan.roles == CLEAN_SMALL).tolist() == lent.tolist()
        assert np.flatnonzero(fold.plan.true_labels != UNKNOWN).tolist() == lent.tolist()
        assert (fold.plan.roles[fold.held_out] == TEST).all()


def test_a_fold_that_holds_out_all_that_is_trusted_is_refused(plan):
    roles = np.where(np.arange(100) == 3, CLEAN_SMALL, TRAIN)

    with pytest.raises(LabelError, match="all trusted particles fall to fold"):
        plan_all(replace(plan, roles=roles))


def test_every_fold_starts_from_its_own_weights(plan):
    assert len({fold.plan.seed for fold in plan_all(plan)}) == 8


def test_a_fold_that_leaves_a_class_without_particles_is_refused(plan):
    lone = np.where(np.arange(100) == 7, 2, plan.given_labels)
    three = replace(
        plan, given_labels=lone, classes=["left", "right", "dot"], mirrored_class=[1, 0, 2]
    )

    with pytest.raises(LabelError, match="class 'dot' has no particle to train on"):
        plan_all(three)


def test_particles_without_a_label_are_refused(plan):
    with pytest.raises(LabelError, match="needs a given label of every particle"):
        plan_all(replace(plan, given_labels=np.full(100, UNKNOWN)))


def test_picked_particles_bring_all_that_is_known_of_them(plan):
    mirrored = np.arange(100) % 2
    rows = np.array([7, 3, 50])

    picked = pick_particles(replace(plan, mirrored_given_labels=mirrored), rows)

    assert picked.particles.particle_ids.tolist() == plan.particles.particle_ids[rows].tolist()
    assert picked.particles.centres_yx.tolist() == plan.particles.centres_yx[rows].tolist()
    assert picked.given_labels.tolist() == plan.given_labels[rows].tolist()
    assert picked.true_labels.tolist() == plan.true_labels[rows].tolist()
    assert picked.mirrored_given_labels.tolist() == [1, 1, 0]
    assert pick_particles(plan, rows).mirrored_given_labels is None


def test_calibration_makes_overconfident_probabilities_modest():
    rng = np.random.default_rng(0)
    says = rng.integers(2, size=2000)
    probs = np.where(says[:, None] == [0, 1], 0.999, 0.001)
    # Three labels in ten are not what the network says.
    given = np.where(rng.random(2000) < 0.3, 1 - says, says)

    calibrated = calibrate(probs, given)

    assert calibrated.sum(axis=1) == pytest.approx(np.ones(2000))
    assert calibrated.argmax(axis=1).tolist() == says.tolist()
    assert calibrated.max(axis=1) == pytest.approx((given == says).mean(), abs=0.01)


def test_calibration_bears_probabilities_of_zero():
    calibrated = calibrate(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))

    assert np.isfinite(calibrated).all()
