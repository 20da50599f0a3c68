import numpy as np
import pytest

from services.nightly.gate import decide
from services.nightly.segmenter_gate import compare_segmenters


def image(*objects):
    """Sixteen objects of one row each, of which some are there."""
    ids = np.zeros((32, 8), np.uint32)
    for number in objects:
        ids[2 * number] = number + 1
    return ids


ALL = image(*range(16))


def test_f1_is_pooled_over_images():
    truth = [ALL, image(0, 1)]

    found = compare_segmenters(truth, [image(*range(8)), image()], truth, seed=0)

    # 8 of 18 are found, and nothing else.
    assert found.candidate == pytest.approx(2 * 8 / (18 + 8))
    assert found.champion == 1
    assert found.difference == pytest.approx(found.candidate - 1)
    assert (found.n_particles, found.name) == (18, "outlined")


def test_what_is_found_where_nothing_is_counts_against_it():
    truth = [image()] * 6

    found = compare_segmenters(truth, [image(3)] * 6, truth, seed=0)

    assert (found.candidate, found.champion) == (0, 1)
    assert (found.low, found.high) == (-1, -1)


def test_a_gain_on_every_image_promotes():
    truth = [ALL] * 6

    found = compare_segmenters(truth, truth, [image(*range(8))] * 6, seed=0)

    assert found.low > 0
    assert decide([found], margin=0.01, min_judged=20).promote


def test_a_gain_on_one_image_of_six_is_chance():
    truth = [ALL] * 6
    halves = [image(*range(8))] * 6

    found = compare_segmenters(truth, [ALL, *halves[1:]], halves, seed=0)

    assert found.difference > 0.01
    assert found.low <= 0
    verdict = decide([found], margin=0.01, min_judged=20)
    assert not verdict.promote
    assert "an interval above zero is needed" in verdict.why


def test_the_same_seed_gives_the_same_interval():
    truth = [ALL] * 3
    found = [image(*range(n)) for n in (4, 9, 16)]
    ours, theirs = truth, found

    assert compare_segmenters(truth, ours, theirs, seed=1) == compare_segmenters(
        truth, ours, theirs, seed=1
    )
    assert compare_segmenters(truth, theirs, theirs, seed=2).difference == 0
