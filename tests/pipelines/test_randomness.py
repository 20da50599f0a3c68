import numpy as np
import pytest

from pipelines.randomness import generator


def test_the_stream_depends_on_seed_and_keys_alone():
    first = generator(3, "tile", 5).random(4)

    np.testing.assert_array_equal(first, generator(3, "tile", 5).random(4))
    assert not np.array_equal(first, generator(3, "tile", 6).random(4))
    assert not np.array_equal(first, generator(4, "tile", 5).random(4))


def test_keys_of_different_type_or_split_do_not_meet():
    keys = [("1",), (1,), ("1", ""), ("a", "b"), ("ab",)]

    streams = [generator(0, *each).random() for each in keys]

    assert len(set(streams)) == len(streams)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        generator(-1)
