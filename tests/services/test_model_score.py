import numpy as np
import pytest

from services.model_score import ModelScore


def score(true, predicted, held_out):
    n = len(true)
    probs = np.full((n, 2), 0.1)
    probs[np.arange(n), predicted] = 0.9
    return ModelScore(
        classes=["left", "right"],
        particle_ids=np.arange(n),
        true_labels=np.array(true, dtype=int),
        pred_probs=probs,
        is_held_out=np.array(held_out, dtype=bool),
        seed=0,
    )


def test_the_headline_is_about_held_out_mosaics_where_there_are_any():
    mixed = score([0, 1, 0, 1], [0, 1, 1, 0], [True, True, False, False])

    assert mixed.headline() == {"test_accuracy": 1.0, "test_particles": 2}
    assert mixed.metrics()["final_test_accuracy_in_trained_mosaics"] == 0.0


def test_without_held_out_mosaics_the_test_part_counts():
    alone = score([0, 1, 0, 1], [0, 1, 1, 1], [False] * 4)

    assert alone.headline() == {"test_accuracy": 0.75, "test_particles": 4}


def test_without_truth_there_is_no_score():
    nothing = score([], [], [])

    assert nothing.headline() == {"test_particles": 0}
    assert nothing.metrics() == {"n_test": 0.0}


def test_metrics_give_the_interval_and_each_class_its_recall():
    values = score([0] * 10 + [1] * 30, [1] * 5 + [0] * 5 + [1] * 30, [True] * 40).metrics()

    assert values["final_test_accuracy"] == pytest.approx(35 / 40)
    assert values["final_test_balanced_accuracy"] == pytest.approx(0.75)
    assert values["final_test_recall_left"] == pytest.approx(0.5)
    assert values["final_test_recall_right"] == 1.0
    assert values["final_test_accuracy_low"] < 35 / 40 < values["final_test_accuracy_high"]
    assert values["final_test_calibration_error"] == pytest.approx(0.9 - 35 / 40)


def test_a_class_that_is_not_tested_has_no_recall():
    values = score([1, 1], [1, 1], [True, True]).metrics()

    assert "final_test_recall_left" not in values
