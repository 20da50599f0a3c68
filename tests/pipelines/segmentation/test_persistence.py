import numpy as np
import pytest

from pipelines.segmentation.persistence import SplitRule, connected, merge_regions
from pipelines.segmentation.regions import peak_keys, saddle_keys


def peaks(*heights: int) -> np.ndarray:
    return peak_keys(np.array(heights), np.arange(len(heights)))


def saddles(*heights: int) -> np.ndarray:
    return saddle_keys(np.array(heights), np.arange(len(heights)), 0)


# Peaks A 100, B 60, C 90, D 50 in a row, with saddles A-B 50, B-C 40, C-D 45. From the highest
# saddle down: B ends at 50 with persistence 10; D ends at 45 with 5; then C meets A's body at
# 40 and ends with 50.
ROW = peaks(100, 60, 90, 50)
EDGES = np.array([[0, 1], [1, 2], [2, 3]])
SADDLES = saddles(50, 40, 45)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (5, [0, 1, 2, 3]),
        (6, [0, 1, 2, 2]),
        (10, [0, 1, 2, 2]),
        (11, [0, 0, 1, 1]),
        (50, [0, 0, 1, 1]),
        (51, [0, 0, 0, 0]),
    ],
)
def test_a_peak_stays_if_it_rises_enough_above_its_saddle(limit, expected):
    merged = merge_regions(ROW, EDGES, SADDLES, rule=SplitRule(limit, 0))

    assert merged.segment.tolist() == expected
    assert len(merged.waiting) == 0


def test_the_limit_can_be_a_share_of_the_lower_peak():
    # B must rise by 12, D by 10, C by 18: B and D do not.
    merged = merge_regions(ROW, EDGES, SADDLES, rule=SplitRule(0, 0.2))

    assert merged.segment.tolist() == [0, 0, 1, 1]


def test_a_low_peak_joins_the_neighbour_across_its_saddle_and_not_the_highest_one():
    # Heights 100, 80, 70: the lowest hangs on the middle one, which stays apart from the first.
    merged = merge_regions(
        peaks(100, 80, 70), np.array([[0, 1], [1, 2]]), saddles(20, 65), rule=SplitRule(10, 0)
    )

    assert merged.segment.tolist() == [0, 1, 1]


@pytest.mark.parametrize("height", [0, 1, 5])
def test_equal_peaks_on_one_level_are_one(height):
    merged = merge_regions(peaks(7, 7), np.array([[1, 0]]), saddles(7), rule=SplitRule(height, 0))

    assert merged.segment.tolist() == [0, 0]


def test_the_order_of_edges_does_not_matter(rng):
    n = 60
    heights = rng.integers(50, 100, n)
    edges = rng.integers(0, n, (200, 2))
    lower = heights[edges].min(axis=1)
    keys = saddle_keys(rng.integers(0, 50, 200), np.arange(200), 0)
    assert (lower >= 50).all()
    args = (peak_keys(heights, np.arange(n)),)
    expected = merge_regions(*args, edges, keys, rule=SplitRule(0, 0.6))

    for _ in range(5):
        order = rng.permutation(200)
        again = merge_regions(*args, edges[order], keys[order], rule=SplitRule(0, 0.6))
        assert np.array_equal(again.segment, expected.segment)
        assert again.n_uncertain == expected.n_uncertain


def test_a_body_that_may_go_on_elsewhere_by_a_higher_saddle_waits():
    # B could be left at 55, above its saddle 50 with A.
    outside = np.array([-1, saddle_keys(np.array([55]), np.array([9]), 0)[0]])

    merged = merge_regions(
        peaks(100, 60), np.array([[0, 1]]), saddles(50), rule=SplitRule(20, 0), outside=outside
    )

    assert merged.segment.tolist() == [0, 1]
    assert merged.waiting.tolist() == [0]


def test_a_body_whose_way_out_is_lower_does_not_wait():
    outside = np.array([-1, saddle_keys(np.array([45]), np.array([9]), 0)[0]])

    merged = merge_regions(
        peaks(100, 60), np.array([[0, 1]]), saddles(50), rule=SplitRule(20, 0), outside=outside
    )

    assert merged.segment.tolist() == [0, 0]


def test_decisions_close_to_the_limit_are_counted():
    rule = SplitRule(10, 0)

    def uncertain(saddle: int) -> int:
        return merge_regions(
            peaks(100, 60), np.array([[0, 1]]), saddles(saddle), rule=rule
        ).n_uncertain

    assert [uncertain(s) for s in (48, 49, 50, 51, 52)] == [0, 1, 1, 1, 0]


def test_components_are_numbered_by_their_first_node():
    left, right = np.array([5, 1, 4]), np.array([2, 3, 5])

    assert connected(6, left, right).tolist() == [0, 1, 2, 1, 2, 2]


def test_a_long_chain_is_one_component(rng):
    order = rng.permutation(500)

    assert (connected(500, order[:-1], order[1:]) == 0).all()
