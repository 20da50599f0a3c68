import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.classifiers.sample_choice import choose_samples
from pipelines.errors import SettingsError
from pipelines.sweeps.plan import NetworkChoice, Trial, Variant
from pipelines.sweeps.trial import (
    PREDICTIONS_FILE,
    RESULT_FILE,
    _make_wrong,
    choose_roles,
    plan_trial,
    run_trial,
)
from pipelines.training import splits
from pipelines.training.loop import LoopSettings

TRIAL = Trial(
    variant=Variant("ce", "ce"),
    error_rate=0.2,
    seed=0,
    noise="sym_pair",
    n_train=70,
    n_select=20,
    n_clean=10,
    n_test=0,
    loop=LoopSettings(n_epochs=9, batch_size=16, learning_rate=0.02),
    network=NetworkChoice(antisymmetric=True),
)


def test_no_particle_has_two_roles_and_counts_are_kept(study):
    rows, roles = choose_roles(study, TRIAL)

    assert len(set(rows.tolist())) == len(rows)
    assert np.bincount(roles, minlength=4).tolist() == [70, 20, 10, 20]
    assert set(rows[roles == splits.TEST]) == set(range(100, 120))


def test_a_trial_augments_as_the_sweep_wants_and_else_as_the_study_does(study):
    rows, roles = choose_roles(study, TRIAL)
    trial = replace(TRIAL, augmentation={"zoom": 0.3, "noise": 0.0})

    planned = plan_trial(study, trial, rows, roles, _make_wrong(study, trial, rows, roles))

    assert planned.augmentation == replace(study.augmentation, zoom=0.3, noise=0.0)


def test_the_same_particles_are_trusted_and_tested_however_many_are_trained_on(study):
    fewer = replace(TRIAL, n_train=30, n_test=8)
    all_rows, all_roles = choose_roles(study, replace(TRIAL, n_test=8))
    rows, roles = choose_roles(study, fewer)

    for role in (splits.CLEAN_SMALL, splits.SELECT, splits.TEST):
        np.testing.assert_array_equal(rows[roles == role], all_rows[all_roles == role])


def test_more_particles_than_there_are_is_refused(study):
    with pytest.raises(SettingsError, match=r"needs 101 particles .* and there are 100"):
        choose_roles(study, replace(TRIAL, n_train=71))


def test_a_trial_learns_true_hands_from_labels_that_are_partly_wrong(study, tmp_path):
    result = run_trial(study, TRIAL, tmp_path / "trial")

    assert result["realised_error_rate"] == pytest.approx(0.2)
    assert result["n_train"] == 70
    assert result["last"] >= 0.9
    assert result["n_last"] == 3
    assert result["last"] == np.mean([p["test_accuracy"] for p in result["history"][-3:]])
    assert {"recall_left", "recall_right", "accuracy_mirrored", "device"} <= set(result)
    assert json.loads((tmp_path / "trial" / RESULT_FILE).read_text()) == result
    with np.load(tmp_path / "trial" / PREDICTIONS_FILE) as stored:
        right = stored["pred_probs"].argmax(axis=1) == stored["true_labels"]
    assert right.mean() == result["final"]


def test_a_mirror_built_in_treats_hands_alike_and_tells_nothing_where_there_is_nothing(
    study, tmp_path
):
    result = run_trial(study, TRIAL, tmp_path / "trial")

    assert result["accuracy_mirrored"] == result["accuracy_true"]
    assert abs(result["achiral_share"] - 0.5) <= 0.25
    assert result["n_achiral"] == 20


@pytest.mark.parametrize("noise", ["sym_pair", "sym_indep"])
def test_a_population_of_one_hand_is_hidden_by_showing_half_of_it_mirrored(study, noise):
    trial = replace(TRIAL, noise=noise, mirrored_share=0.5)
    rows, roles = choose_roles(study, trial)
    noisy = _make_wrong(study, trial, rows, roles)
    plan = plan_trial(study, trial, rows, roles, noisy)
    _, samples = choose_samples(plan, [])

    is_one_hand = (study.true_labels[rows][roles == splits.TRAIN] == 1).all()
    wrong = samples.given_labels != samples.true_labels

    assert is_one_hand
    assert (samples.true_labels == ~samples.mirrored).all()
    assert 25 <= samples.mirrored.sum() <= 45
    assert len(np.unique(samples.particle_ids)) == len(samples) == 70
    assert all(3 <= wrong[samples.mirrored == way].sum() <= 13 for way in (False, True))


def test_where_mirror_images_are_trained_on_too_none_is_shown_instead(study):
    trial = replace(TRIAL, network=NetworkChoice(), mirrored_share=0.5)
    rows, roles = choose_roles(study, trial)
    plan = plan_trial(study, trial, rows, roles, _make_wrong(study, trial, rows, roles))

    _, samples = choose_samples(plan, [])

    assert samples.mirrored.sum() == 70
    assert len(samples) == 140


def test_with_half_of_the_labels_wrong_nothing_is_learnt_on_average(study, tmp_path):
    trials = [
        replace(TRIAL, error_rate=0.5, seed=seed, loop=replace(TRIAL.loop, n_epochs=3))
        for seed in range(6)
    ]

    lasts = [run_trial(study, t, tmp_path / str(t.seed))["last"] for t in trials]

    assert 0.1 < np.mean(lasts) < 0.9


def test_a_trial_that_was_cut_short_goes_on_to_the_same_end(study, tmp_path):
    class StopError(Exception):
        pass

    def stop(points):
        calls.append(points)
        if len(calls) == 4:
            raise StopError

    calls = []
    whole = run_trial(study, TRIAL, tmp_path / "whole")
    with pytest.raises(StopError):
        run_trial(study, TRIAL, tmp_path / "cut", report=stop)
    again = run_trial(study, TRIAL, tmp_path / "cut")

    assert again["history"] == whole["history"]
    assert again["final"] == whole["final"]


def test_mirror_images_are_trained_on_where_the_mirror_is_not_built_in(study, tmp_path):
    loop = replace(TRIAL.loop, learning_rate=0.005, n_epochs=16)
    plain = replace(TRIAL, network=NetworkChoice(), noise="sym_indep", loop=loop)

    result = run_trial(study, plain, tmp_path / "trial")

    # The foot alone tells nothing but the hand, and only right ones were seen unmirrored.
    assert result["last"] > 0.6
    # Particles and mirror images go wrong on their own.
    assert 0.1 < result["realised_error_rate"] < 0.3
