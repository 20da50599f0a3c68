import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.evaluation.instances import (
    ContingencyCounter,
    count_shared_pixels,
    match_instances,
    score_instances,
)

TRUTH = np.array(
    [
        [1, 1, 1, 1, 0, 2, 2],
        [1, 1, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0, 0, 0],
        [3, 3, 3, 3, 0, 0, 0],
    ]
)
FOUND = np.array(
    [
        [7, 7, 7, 0, 0, 9, 9],
        [7, 7, 7, 0, 0, 9, 9],
        [0, 0, 0, 0, 0, 0, 0],
        [5, 5, 0, 0, 0, 0, 4],
    ]
)


def test_pairs_above_the_threshold_are_matched_with_their_iou():
    matches = match_instances(count_shared_pixels(TRUTH, FOUND))

    # Instance 3 is covered by half exactly, which is not more than half.
    assert matches.truth_ids.tolist() == [1, 2]
    assert matches.found_ids.tolist() == [7, 9]
    assert matches.iou.tolist() == [6 / 8, 1.0]


def test_scores_follow_from_the_counts():
    score = score_instances(count_shared_pixels(TRUTH, FOUND))

    assert (score.n_truth, score.n_found, score.n_matched) == (3, 4, 2)
    assert score.precision == 2 / 4
    assert score.recall == 2 / 3
    assert score.f1 == pytest.approx(4 / 7)
    assert score.mean_matched_iou == pytest.approx(0.875)
    assert score.panoptic_quality == pytest.approx(4 / 7 * 0.875)


def test_a_higher_threshold_matches_fewer():
    score = score_instances(count_shared_pixels(TRUTH, FOUND), iou_threshold=0.75)

    # 6 of 8 pixels is 0.75 exactly.
    assert score.n_matched == 1


@pytest.mark.parametrize("iou_threshold", [0.49, 1.0, -1])
def test_a_threshold_with_several_partners_is_refused(iou_threshold):
    with pytest.raises(ValueError, match=r"iou_threshold must be at least 0\.5"):
        match_instances(count_shared_pixels(TRUTH, FOUND), iou_threshold=iou_threshold)


def test_an_instance_in_two_pieces_counts_as_split():
    score = score_instances(
        count_shared_pixels(np.array([[1, 1, 1, 1, 2, 2]]), np.array([[5, 5, 6, 6, 7, 7]]))
    )

    assert (score.n_split, score.n_merged) == (1, 0)


def test_two_instances_found_as_one_count_as_merged():
    score = score_instances(
        count_shared_pixels(np.array([[1, 1, 2, 2, 0, 3]]), np.array([[5, 5, 5, 5, 5, 6]]))
    )

    assert (score.n_split, score.n_merged) == (0, 1)


def test_a_crumb_makes_no_split():
    truth = np.full((1, 40), 1)
    found = np.full((1, 40), 5)
    found[0, 0] = 6

    assert score_instances(count_shared_pixels(truth, found)).n_split == 0


def test_nothing_to_find_and_nothing_found_is_not_a_number():
    empty = np.zeros((3, 3), np.uint32)

    score = score_instances(count_shared_pixels(empty, empty))

    assert (score.n_truth, score.n_found) == (0, 0)
    assert math.isnan(score.f1)
    assert math.isnan(score.panoptic_quality)


def test_finding_nothing_scores_zero():
    score = score_instances(count_shared_pixels(TRUTH, np.zeros_like(TRUTH)))

    assert score.f1 == 0
    assert score.panoptic_quality == 0
    assert math.isnan(score.precision)


def test_ids_up_to_32_bits_are_kept_apart():
    top = 2**32 - 1

    counted = count_shared_pixels(
        np.array([[top, top - 1]], np.uint32), np.array([[top, top]], np.uint32)
    )

    assert counted.truth_ids.tolist() == [top - 1, top]
    assert counted.found_ids.tolist() == [top]
    assert counted.found_px.tolist() == [2]


def test_blocks_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(3, 2\)"):
        ContingencyCounter().add(np.zeros((2, 3), int), np.zeros((3, 2), int))


def test_a_counter_can_be_read_in_between():
    counter = ContingencyCounter()
    counter.add(TRUTH[:2], FOUND[:2])
    counter.contingency()
    counter.add(TRUTH[2:], FOUND[2:])

    whole = count_shared_pixels(TRUTH, FOUND)
    assert counter.contingency().pair_px.tolist() == whole.pair_px.tolist()


ids = hnp.arrays(np.uint32, (11, 13), elements=st.integers(0, 5))


@given(truth=ids, found=ids, core_px=st.integers(1, 7))
def test_blocked_equals_whole_and_equals_counting_pixels(truth, found, core_px):
    counter = ContingencyCounter()
    for y in range(0, 11, core_px):
        for x in range(0, 13, core_px):
            block = np.s_[y : y + core_px, x : x + core_px]
            counter.add(truth[block], found[block])

    blocked = counter.contingency()

    pairs = {
        (int(blocked.truth_ids[i]), int(blocked.found_ids[j])): int(n)
        for i, j, n in zip(blocked.pair_truth, blocked.pair_found, blocked.pair_px, strict=True)
    }
    by_hand = {
        (t, f): n
        for t in range(1, 6)
        for f in range(1, 6)
        if (n := int(((truth == t) & (found == f)).sum()))
    }
    assert pairs == by_hand
    assert blocked.truth_px.tolist() == [int((truth == t).sum()) for t in blocked.truth_ids]
    assert blocked.found_px.tolist() == [int((found == f).sum()) for f in blocked.found_ids]
