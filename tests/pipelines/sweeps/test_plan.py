from dataclasses import replace

import pytest

from pipelines.errors import SettingsError
from pipelines.sweeps.plan import NetworkChoice, SweepPlan, Variant, plan_trials
from pipelines.training.loop import LoopSettings

PLAN = SweepPlan(
    variants=[Variant("ce", "ce"), Variant("co-teaching", "co", {"rising_epochs": 3})],
    error_rates=[0.2, 0.4],
    seeds=[0, 1, 2],
    noise="sym_pair",
    n_train=60,
    n_select=20,
    n_clean=10,
    n_test=0,
    loop=LoopSettings(n_epochs=3),
    network=NetworkChoice(),
)


def test_every_method_meets_every_error_rate_with_every_seed():
    trials = plan_trials(PLAN)

    assert len(trials) == 2 * 2 * 3
    assert len({trial.key("study") for trial in trials}) == 12


def test_seeds_come_outermost_so_that_half_a_sweep_has_whole_curves():
    first = plan_trials(PLAN)[:4]

    assert {(t.variant.label, t.error_rate) for t in first} == {
        ("ce", 0.2), ("ce", 0.4), ("co", 0.2), ("co", 0.4)
    }  # fmt: skip


def test_methods_that_ask_for_the_error_rate_are_told_unless_the_plan_says_no():
    told = {t.error_rate: t.variant.options for t in plan_trials(PLAN) if t.variant.label == "co"}
    left_alone = plan_trials(replace(PLAN, tells_error_rate=False))

    assert told[0.4] == {"rising_epochs": 3, "error_rate": 0.4}
    assert all("error_rate" not in trial.variant.options for trial in left_alone)


def test_an_augmentation_of_the_sweeps_own_holds_for_every_trial():
    trials = plan_trials(replace(PLAN, augmentation={"zoom": 0.3}))

    assert all(trial.augmentation == {"zoom": 0.3} for trial in trials)


def test_a_variant_may_augment_otherwise_than_the_rest_of_its_sweep():
    variants = [Variant("ce", "plain"), Variant("ce", "shifted", augmentation={"shift": 0.1})]
    plan = replace(PLAN, variants=variants, augmentation={"zoom": 0.3})

    found = {trial.variant.label: trial.augmentation for trial in plan_trials(plan)}

    assert found == {"plain": {"zoom": 0.3}, "shifted": {"zoom": 0.3, "shift": 0.1}}


def test_a_trials_key_depends_on_all_that_decides_its_result():
    trial = plan_trials(PLAN)[0]
    changes = [{"seed": 9}, {"error_rate": 0.3}, {"noise": "order"}, {"n_train": 61}]
    changes += [{"loop": LoopSettings(n_epochs=4)}, {"network": NetworkChoice(antisymmetric=True)}]
    changes += [{"augmentation": {"zoom": 0.3}}, {"mirrored_share": 0.5}]

    keys = {replace(trial, **change).key("study") for change in changes}

    assert len(keys | {trial.key("study"), trial.key("another study")}) == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"error_rates": [1.0]}, "error rate must be at least 0 and below 1, got 1.0"),
        ({"error_rates": [-0.1]}, "error rate must be at least 0 and below 1, got -0.1"),
        ({"mirrored_share": 1.5}, "mirrored_share must be from 0 to 1, got 1.5"),
        ({"error_rates": []}, "at least one of error_rates"),
        ({"noise": "magic"}, "noise must be one of .*, got 'magic'"),
        ({"variants": [Variant("magic", "m")]}, "must be one of .*, got 'magic'"),
        ({"variants": [Variant("ce", "a"), Variant("gce", "a")]}, "labels of their own, got 'a'"),
        ({"variants": [Variant("ce", "a", {"q": 1})]}, "method a: method has no option q"),
        (
            {"variants": [Variant("gce", "a", {"q": 0})]},
            "method a: q must be above 0 and at most 1",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(change, said):
    with pytest.raises(SettingsError, match=said):
        replace(PLAN, **change)
