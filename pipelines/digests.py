"""Content digests: equal content gives equal digests, on any machine and in any row order."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

#: 128 bits: enough that two contents never meet by accident.
DIGEST_BYTES = 16


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
    header = json.dumps([list(data.shape), data.dtype.str]).encode()
    return digest_bytes(header, memoryview(data.reshape(-1).view(np.uint8)))


def digest_file(path: Path) -> str:
    """Digest a file's bytes, read in pieces."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return state.hexdigest()


def digest_rows(table: pa.Table, columns: Iterable[str]) -> str:
    """Digest a table's rows as a multiset: the order of rows does not matter.

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
    rows = table.select(names).to_pylist()
    texts = [json.dumps(row, sort_keys=True, default=str).encode() for row in rows]
    # Sorted digests rather than a sum of them: a sum mod 2**k can be steered to collide.
    leaves = sorted(hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest() for text in texts)
    return digest_bytes(json.dumps(names).encode(), b"".join(leaves))
