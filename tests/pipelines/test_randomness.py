import numpy as np
import pytest

from pipelines.randomness import generator, hash_to_unit


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


def test_the_number_of_an_id_depends_on_neither_its_place_nor_its_company():
    ids = np.array([5, -3, 9, 2**62])

    numbers = hash_to_unit(ids, 4, "flip")

    np.testing.assert_array_equal(hash_to_unit(ids[::-1], 4, "flip"), numbers[::-1])
    np.testing.assert_array_equal(hash_to_unit(ids[1:2], 4, "flip"), numbers[1:2])
    assert not np.isin(numbers, hash_to_unit(ids, 4, "canary")).any()
    assert not np.isin(numbers, hash_to_unit(ids, 5, "flip")).any()


def test_numbers_of_neighbouring_ids_are_even_and_unrelated():
    numbers = hash_to_unit(np.arange(20_000), 0, "flip")

    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.histogram(numbers, bins=10, range=(0, 1))[0] == pytest.approx(2000, abs=170)
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03
