import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.digests import (
    digest_array,
    digest_bytes,
    digest_file,
    digest_json,
    digest_rows,
    hash_rows,
    sum_hashes,
)

ROWS = {"a": [3, 1, 2], "b": ["x", None, ""], "c": [0.5, float("nan"), None]}


def digest(columns):
    return digest_rows(pa.table(columns), columns)


def test_the_order_of_rows_and_columns_does_not_matter():
    shuffled = {"c": [None, 0.5, float("nan")], "a": [2, 3, 1], "b": ["", "x", None]}

    assert digest(ROWS) == digest(shuffled)


@pytest.mark.parametrize(
    "other",
    [
        {**ROWS, "a": [3, 1, 1]},
        {**ROWS, "b": ["x", "", ""]},
        {**ROWS, "b": ["", None, "x"]},
        {**ROWS, "c": [0.5, None, None]},
        {**ROWS, "c": [0.5, 0.0, None]},
        {"a": [3, 1], "b": ["x", None], "c": [0.5, float("nan")]},
        {"a": [3, 1, 2, 2], "b": ["x", None, "", ""], "c": [0.5, float("nan"), None, None]},
        {"A": ROWS["a"], "b": ROWS["b"], "c": ROWS["c"]},
    ],
)
def test_another_content_gives_another_digest(other):
    assert digest(other) != digest(ROWS)


def test_repeated_rows_count():
    assert digest({"a": [1, 1, 2]}) != digest({"a": [1, 2, 2]})


def test_neighbouring_texts_do_not_run_together():
    assert digest({"a": ["ab", "c"]}) != digest({"a": ["a", "bc"]})


@pytest.mark.parametrize(
    "stored",
    [
        pa.chunked_array([["x"], [None, ""]]),
        pa.array(["x", None, ""]).dictionary_encode(),
        pa.array(["x", None, ""], pa.large_string()),
        pa.array(["before", "x", None, ""]).slice(1),
    ],
)
def test_how_texts_are_stored_does_not_matter(stored):
    table = pa.table({"a": ROWS["a"], "b": stored})

    assert digest_rows(table, ["a", "b"]) == digest({"a": ROWS["a"], "b": ROWS["b"]})


def test_how_numbers_are_stored_does_not_matter():
    narrow = {"a": pa.array([3, 1], pa.int32()), "c": pa.array([-0.0, 0.5], pa.float32())}
    wide = {"a": pa.array([3, 1], pa.int64()), "c": pa.array([0.0, 0.5], pa.float64())}

    assert digest(narrow) == digest(wide)


def test_lists_have_a_digest_too():
    assert digest({"p": [[0.1, 0.9], None]}) == digest({"p": [None, [0.1, 0.9]]})
    assert digest({"p": [[0.1, 0.9], None]}) != digest({"p": [[0.9, 0.1], None]})


def test_an_empty_table_has_a_digest_of_its_columns():
    empty = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})

    assert digest_rows(empty, ["a", "b"]) == digest_rows(empty, ["b", "a"])
    assert digest_rows(empty, ["a"]) != digest_rows(empty, ["b"])


@given(
    rows=st.lists(
        st.tuples(st.integers(-3, 3), st.none() | st.text(max_size=3), st.none() | st.floats()),
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
)
def test_any_shuffle_keeps_the_digest(rows, order):
    schema = pa.schema([("i", pa.int64()), ("s", pa.string()), ("f", pa.float64())])
    shuffled = list(rows)
    order.shuffle(shuffled)

    def as_table(tuples):
        return pa.Table.from_pylist([dict(zip("isf", t, strict=True)) for t in tuples], schema)

    assert digest_rows(as_table(rows), "isf") == digest_rows(as_table(shuffled), "isf")


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6, dtype=np.uint8).reshape(3, 2),
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.arange(1, 7, dtype=np.uint8).reshape(2, 3),
    ],
)
def test_an_arrays_digest_knows_shape_type_and_values(other):
    assert digest_array(np.arange(6, dtype=np.uint8).reshape(2, 3)) != digest_array(other)


def test_the_memory_order_of_an_array_does_not_matter():
    array = np.arange(6).reshape(2, 3)

    assert digest_array(np.asfortranarray(array)) == digest_array(array)


@pytest.mark.parametrize("array", [np.empty((0, 4)), np.array(True), np.array([False])])
def test_small_arrays_have_a_digest(array):
    assert len(digest_array(array)) == 32


def test_a_scalar_is_not_an_array_of_one():
    assert digest_array(np.array(3)) != digest_array(np.array([3]))


def test_parts_do_not_run_together():
    assert digest_bytes(b"ab", b"c") != digest_bytes(b"a", b"bc")


def test_the_order_of_json_keys_does_not_matter_but_of_lists_does():
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])


def test_a_files_digest_is_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b").write_bytes(b"x" * 3_000_000)
    (tmp_path / "c").write_bytes(b"x" * 2_999_999 + b"y")

    assert digest_file(tmp_path / "a") == digest_file(tmp_path / "b")
    assert digest_file(tmp_path / "a") != digest_file(tmp_path / "c")


def test_hashes_of_rows_do_not_depend_on_how_values_are_stored():
    plain = pa.table({"i": pa.array([1, 2], pa.int64()), "s": ["a", None], "f": [0.0, 1.5]})
    stored = pa.table(
        {
            "i": pa.array([1, 2], pa.int32()),
            "s": pa.array(["a", None]).dictionary_encode(),
            "f": pa.array([-0.0, 1.5], pa.float32()),
        }
    )

    assert (hash_rows(plain, "isf") == hash_rows(stored, "fsi")).all()


def test_hashes_of_rows_add_up_to_the_same_in_any_order_and_can_be_taken_away():
    table = pa.table({"i": list(range(50)), "s": [str(i % 7) for i in range(50)]})
    hashes = hash_rows(table, "is")

    assert sum_hashes(hash_rows(table.take(list(range(49, -1, -1))), "is")) == sum_hashes(hashes)
    rest = (sum_hashes(hashes) - sum_hashes(hashes[:20])) % 2**128
    assert rest == sum_hashes(hashes[20:])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": ["x"], "b": [None]}, {"a": [None], "b": ["x"]}),
        ({"a": [""], "b": ["x"]}, {"a": [None], "b": ["x"]}),
        ({"a": [0], "b": ["x"]}, {"a": [None], "b": ["x"]}),
        ({"a": ["x", "y"], "b": ["1", "2"]}, {"a": ["x", "y"], "b": ["2", "1"]}),
    ],
)
def test_other_rows_have_another_sum(one, other):
    sums = [sum_hashes(hash_rows(pa.table(columns), "ab")) for columns in (one, other)]

    assert sums[0] != sums[1]


def test_no_rows_add_up_to_nothing():
    assert sum_hashes(hash_rows(pa.table({"a": pa.array([], pa.string())}), "a")) == 0
