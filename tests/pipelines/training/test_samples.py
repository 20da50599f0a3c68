import numpy as np
import pytest

from pipelines.training.samples import UNKNOWN, plain_samples, with_mirror_images

LEFT, NONE, RIGHT = 0, 1, 2
SWAP = [RIGHT, NONE, LEFT]


def samples():
    return plain_samples(
        rows=np.array([4, 7, 9]),
        particle_ids=np.array([40, 70, 90]),
        given_labels=np.array([RIGHT, NONE, RIGHT]),
        true_labels=np.array([LEFT, NONE, UNKNOWN]),
    )


def test_a_mirror_image_has_the_mirrored_class_and_the_same_particle():
    both = with_mirror_images(samples(), SWAP)

    assert both.particle_ids.tolist() == [40, 70, 90, 40, 70, 90]
    assert both.rows.tolist() == [4, 7, 9, 4, 7, 9]
    assert both.mirrored.tolist() == [False] * 3 + [True] * 3
    assert both.given_labels.tolist() == [RIGHT, NONE, RIGHT, LEFT, NONE, LEFT]
    assert both.true_labels.tolist() == [LEFT, NONE, UNKNOWN, RIGHT, NONE, UNKNOWN]


def test_the_samples_that_were_given_stay_as_they_are():
    given = samples()

    with_mirror_images(given, SWAP)

    assert not given.mirrored.any()
    assert given.given_labels.tolist() == [RIGHT, NONE, RIGHT]


def test_every_sample_has_a_key_of_its_own_even_for_the_largest_id():
    ids = np.array([0, 1, 2**62, 2**63 - 1])
    n = len(ids)
    plain = plain_samples(np.arange(n), ids, np.zeros(n, int), np.zeros(n, int))

    keys = with_mirror_images(plain, [1, 0]).keys

    assert len(set(keys.tolist())) == 2 * n


def test_a_mirror_that_does_not_undo_itself_is_refused():
    with pytest.raises(ValueError, match="must undo itself"):
        with_mirror_images(samples(), [1, 2, 0])
