"""What one tile knows of its particles, and how it is kept between the two passes."""

import json
import math
import mmap
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.regions import Ints


class Sum(IntEnum):
    """Columns of the sums over a segment's pixels; all but the last seven add up."""

    AREA = 0
    Y = 1
    X = 2
    YY = 3
    XX = 4
    XY = 5
    GREY = 6
    GREY_SQUARED = 7
    FIRST = 8
    MIN_Y = 9
    MIN_X = 10
    MIN_GREY = 11
    MAX_Y = 12
    MAX_X = 13
    MAX_GREY = 14


N_SUMS = len(Sum)
ADDED = slice(Sum.AREA, Sum.FIRST)
LEAST = slice(Sum.FIRST, Sum.MAX_Y)
GREATEST = slice(Sum.MAX_Y, N_SUMS)


@dataclass(frozen=True)
class TileParts:
    """The segments of one core: whole particles, and pieces of those that go on elsewhere.

    Attributes
    ----------
    core : Window
        The core.
    run_starts, run_lengths, run_segments : (n,) int32 arrays
        Foreground as runs along rows: index into the flat core, pixels, segment.
    sums : (s, 15) int64 array
        Measurements of each segment, with columns `Sum`. Coordinates are relative to the core
        in Y to XY, and the mosaic's elsewhere; FIRST is row * width + column in the mosaic.
    segment_body : (s,) int32 array
        The body of each segment; see `persistence.Merged`.
    body_peaks : (b,) int64 array
        Key of the highest peak of each body.
    edges, saddles : (e, 2) int32 array, (e,) int64 array
        Undecided meetings of segments, with their keys.
    exit_segments, exit_positions : (x,) int32 array, (x,) int64 array
        Segments that go on at a pixel of another core, and where in the mosaic.
    face_positions, face_segments, face_heights : (f,) int64, int32, uint16 arrays
        Foreground pixels of the core that have neighbours in other cores.
    n_uncertain : int
        Decisions taken here that were close to the limit.
    """

    core: Window
    run_starts: NDArray[np.int32]
    run_lengths: NDArray[np.int32]
    run_segments: NDArray[np.int32]
    sums: Ints
    segment_body: NDArray[np.int32]
    body_peaks: Ints
    edges: NDArray[np.int32]
    saddles: Ints
    exit_segments: NDArray[np.int32]
    exit_positions: Ints
    face_positions: Ints
    face_segments: NDArray[np.int32]
    face_heights: NDArray[np.uint16]
    n_uncertain: int = 0

    #: The runs come last, so that the rest can be read without them.
    ARRAYS: ClassVar[tuple[str, ...]] = (
        "sums",
        "segment_body",
        "body_peaks",
        "edges",
        "saddles",
        "exit_segments",
        "exit_positions",
        "face_positions",
        "face_segments",
        "face_heights",
        "run_starts",
        "run_lengths",
        "run_segments",
    )

    @property
    def n_segments(self) -> int:
        """Number of segments."""
        return len(self.sums)

    @classmethod
    def empty(cls, core: Window) -> Self:
        """Return the parts of a core without particles."""
        i32, i64 = np.empty(0, np.int32), np.empty(0, np.int64)
        return cls(
            core=core,
            run_starts=i32,
            run_lengths=i32,
            run_segments=i32,
            sums=np.empty((0, N_SUMS), np.int64),
            segment_body=i32,
            body_peaks=i64,
            edges=np.empty((0, 2), np.int32),
            saddles=i64,
            exit_segments=i32,
            exit_positions=i64,
            face_positions=i64,
            face_segments=i32,
            face_heights=np.empty(0, np.uint16),
        )

    def to_bytes(self) -> bytes:
        """Write everything down: a JSON line that describes the arrays, then the arrays."""
        arrays = [np.ascontiguousarray(getattr(self, name)) for name in self.ARRAYS]
        layout = [[a.dtype.str, list(a.shape)] for a in arrays]
        header = {"core": list(self.core), "n_uncertain": self.n_uncertain, "arrays": layout}
        line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
        return line + b"".join(array.tobytes() for array in arrays)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file of what `to_bytes` wrote; pages are read when their arrays are used."""
        with path.open("rb") as file:
            return cls.from_bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    @classmethod
    def from_bytes(cls, data: bytes | mmap.mmap) -> Self:
        """Read what `to_bytes` wrote."""
        start = data.find(b"\n") + 1
        header: dict[str, Any] = json.loads(data[:start])
        arrays: dict[str, Any] = {}
        for name, (dtype, shape) in zip(cls.ARRAYS, header["arrays"], strict=True):
            count = math.prod(shape)
            array = np.frombuffer(data, dtype=np.dtype(dtype), count=count, offset=start)
            arrays[name] = array.reshape(shape)
            start += array.nbytes
        core = Window(*header["core"])
        return cls(core=core, n_uncertain=header["n_uncertain"], **arrays)
