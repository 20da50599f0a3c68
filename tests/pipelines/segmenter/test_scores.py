import numpy as np
import pytest

from pipelines.segmenter.scores import score_pairs

ONE = np.array([[1, 1, 0, 2, 2]])


def test_pooled_scores_count_objects_and_medians_count_images():
    many = np.arange(1, 9).reshape(1, 8)
    nothing = np.zeros((1, 8), int)

    scores = score_pairs([(ONE, ONE), (ONE, ONE), (many, nothing)])

    assert scores.f1_50 == pytest.approx(2 * 4 / (12 + 4))
    assert scores.f1_50_median == 1.0
    assert scores.per_image == (1.0, 1.0, 0.0)
    assert (scores.n_truth, scores.n_found) == (12, 4)


def test_an_image_that_is_rightly_empty_is_right():
    empty = np.zeros((2, 2), int)

    assert score_pairs([(empty, empty)]).per_image == (1.0,)


def test_panoptic_quality_is_the_mean_overlap_of_the_matched_times_f1():
    truth, found = np.array([[1, 1, 1, 1, 0, 0]]), np.array([[1, 1, 1, 0, 0, 2]])

    scores = score_pairs([(truth, found)])

    assert scores.pq == pytest.approx(0.75 * 2 / 3)
    assert scores.f1_75 == 0
