"""Real digits with wrong labels: who learns them by heart."""

import pytest
import torch

from pipelines.sweeps.digits import study_digits
from pipelines.sweeps.plan import NetworkChoice, SweepPlan, Variant, plan_trials
from pipelines.sweeps.trial import run_trial
from pipelines.training.loop import LoopSettings


@pytest.fixture(scope="module")
def memorised(shared_data, tmp_path_factory):
    """The share of wrong labels that each method repeats after 30 passes over 500 digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("digits")
    study = study_digits(shared_data / "mnist", folder / "study")
    plan = SweepPlan(
        variants=[
            Variant("ce", "ce"),
            Variant("elr", "elr"),
            Variant("nce-rce", "nce-rce", {"beta": 10.0}),
        ],
        error_rates=[0.4],
        seeds=[0],
        noise="symmetric",
        n_train=500,
        n_select=60,
        n_clean=0,
        n_test=100,
        loop=LoopSettings(
            n_epochs=30,
            batch_size=64,
            learning_rate=2e-3,
            weight_decay=0.0,
            optimiser="adam",
            schedule="constant",
        ),
        network=NetworkChoice(architecture="lenet"),
    )
    results = {t.variant.label: run_trial(study, t, folder / t.key("d")) for t in plan_trials(plan)}
    torch.set_num_threads(threads)
    return {label: result["memorised"] for label, result in results.items()}


def test_cross_entropy_learns_wrong_labels_by_heart(memorised):
    assert memorised["ce"] > 0.6


@pytest.mark.parametrize("name", ["elr", "nce-rce"])
def test_robust_methods_do_not(memorised, name):
    assert memorised[name] < 0.2, memorised
