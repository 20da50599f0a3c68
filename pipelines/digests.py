"""Content digests: equal content gives equal digests, on any machine and in any row order."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: 128 bits: enough that two contents never meet by accident.
DIGEST_BYTES = 16
#: Rows that are hashed at a time: some ten megabytes.
_ROWS_PER_BLOCK = 1 << 16


def digest_bytes(*parts: bytes | memoryview) -> str:
    """Digest byte strings, each with its length, as 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def digest_json(value: Any) -> str:
    """Digest a JSON-like value; the order of keys does not matter.

    Examples
    --------
    >>> digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return digest_bytes(text.encode())


def digest_array(array: np.ndarray[Any, Any]) -> str:
    """Digest an array's shape, dtype and values."""
    data = np.ascontiguousarray(array)
    # The given shape: making a 0-d array contiguous gives it an axis.
    header = json.dumps([list(array.shape), data.dtype.str]).encode()
    return digest_bytes(header, data.reshape(-1).view(np.uint8).data)


def digest_file(path: Path) -> str:
    """Digest a file's bytes, read in pieces."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return state.hexdigest()


def digest_rows(table: pa.Table, columns: Iterable[str]) -> str:
    """Digest a table's rows as a multiset: the order of rows does not matter.

    Equal values digest equally however they are stored: in chunks, dictionary-encoded, as 32 or
    64 bits, with 0.0 or -0.0.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    columns : iterable of str
        The columns that count, in any order.

    Returns
    -------
    digest : str
        32 hexadecimal digits.
    """
    names = sorted(columns)
    plain = pa.table({name: _canonical(table.column(name)) for name in names})
    # Rows are put in order rather than hashed one by one and summed: a sum of hashes can be
    # steered to collide, and sorting whole columns is faster. Integers decide quickest.
    by = sorted(names, key=lambda name: (not pa.types.is_integer(plain[name].type), name))
    if plain.num_rows > 1:
        plain = plain.take(pc.sort_indices(plain, sort_keys=[(name, "ascending") for name in by]))
    header = json.dumps([[name, str(plain[name].type)] for name in names] + [plain.num_rows])
    parts: list[bytes | memoryview] = [header.encode()]
    for name in names:
        parts.extend(_column_bytes(plain[name].combine_chunks()))
    return digest_bytes(*parts)


def hash_rows(table: pa.Table, columns: Iterable[str]) -> NDArray[np.uint32]:
    """Hash every row by itself, so that the digest of a table can follow its changes.

    Equal values hash equally however they are stored, as in `digest_rows`.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    columns : iterable of str
        The columns that count, in any order.

    Returns
    -------
    hashes : (N, 4) ndarray of uint32
        128 bits a row.
    """
    names = sorted(columns)
    salted = hashlib.blake2b(json.dumps(names).encode(), digest_size=DIGEST_BYTES)
    found = bytearray()
    for first in range(0, table.num_rows, _ROWS_PER_BLOCK):
        block = table.slice(first, _ROWS_PER_BLOCK)
        cells = [part for name in names for part in _fixed_width(_canonical(block.column(name)))]
        data, width = np.concatenate(cells, axis=1).tobytes(), sum(part.shape[1] for part in cells)
        for start in range(0, len(data), width):
            state = salted.copy()
            state.update(data[start : start + width])
            found += state.digest()
    return np.frombuffer(bytes(found), dtype="<u4").reshape(-1, DIGEST_BYTES // 4)


def sum_hashes(hashes: NDArray[np.uint32]) -> int:
    """Add the hashes of rows modulo 2**128: the order does not matter, and rows can be taken away.

    Such a sum finds every accident and every careless edit. Somebody who can compute for long
    enough might make other rows of the same sum, as with `digest_rows` they could not.
    """
    # 32 bits at a time, 2**32 rows fit into 64 bits.
    lanes = hashes.astype(np.uint64).sum(axis=0)
    total = sum(int(lane) << (32 * place) for place, lane in enumerate(lanes))
    return total % (1 << 8 * DIGEST_BYTES)


def _fixed_width(values: pa.Array) -> list[NDArray[np.uint8]]:
    """Return a canonical column as bytes of one width: validity, and the number or text's hash."""
    valid = values.is_valid().to_numpy(zero_copy_only=False).view(np.uint8).reshape(-1, 1)
    if pa.types.is_large_string(values.type):
        # A text stands many times in such a column; it is hashed once.
        encoded = values.dictionary_encode()
        texts = [digest_bytes(text.encode()) for text in encoded.dictionary.to_pylist()]
        hashes = np.frombuffer(bytes.fromhex("00" * DIGEST_BYTES + "".join(texts)), np.uint8)
        index = pc.add(encoded.indices.cast(pa.int64()).fill_null(-1), 1).to_numpy()
        return [valid, hashes.reshape(-1, DIGEST_BYTES)[index]]
    return [valid, values.fill_null(0).to_numpy().view(np.uint8).reshape(-1, 8)]


def _canonical(column: pa.ChunkedArray) -> pa.Array:
    """Give a column the one form that all equal columns have."""
    values = column.combine_chunks()
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_floating(kind):
        values = values.cast(pa.float64())
        # Adding zero turns -0.0 into 0.0; every NaN becomes the same one.
        values = pc.add(values, 0.0)
        return pc.if_else(pc.is_nan(values), pa.scalar(float("nan"), pa.float64()), values)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return values.cast(pa.int64())
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return values.cast(pa.large_string())
    texts = [
        None if value is None else json.dumps(value, sort_keys=True, default=str)
        for value in values.to_pylist()
    ]
    return pa.array(texts, pa.large_string())


def _column_bytes(values: pa.Array) -> list[bytes | memoryview]:
    """Return validity, lengths and bytes of a canonical column, without what lies under nulls."""
    valid = values.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    if not pa.types.is_large_string(values.type):
        return [valid.data, values.fill_null(0).to_numpy().view(np.uint8).data]
    filled = values.fill_null("")
    lengths = pc.binary_length(filled).to_numpy().view(np.uint8)
    start, end = (filled.offset, filled.offset + len(filled))
    _, offsets, data = filled.buffers()
    bounds = np.frombuffer(offsets, np.int64)[[start, end]] if offsets and len(filled) else (0, 0)
    return [valid.data, lengths.data, memoryview(data or b"")[int(bounds[0]) : int(bounds[1])]]
