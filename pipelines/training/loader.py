"""Crops for training: read once where they fit in memory, else read ahead of the learner."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.training.crop_source import CropSource, Rows

Crops = NDArray[np.float16]
_READING_THREADS = 2


class CropLoader:
    """Hands out the crops of batches of rows, within a bound on memory.

    Every row is asked for once an epoch, so a cache that evicts the least recently used would
    evict each crop just before its next use. This one keeps what it read first, for good, and
    streams the rest: half of the bound is kept crops, half the pieces being read and used.

    Parameters
    ----------
    source : CropSource
        Where crops come from.
    rows : (N,) ndarray of int
        The rows that will be asked for.
    cache_bytes : int
        Bound on the memory of crops, in bytes.
    mine : (M,) ndarray of int, optional
        Where several workers share the rows, those that this one reads; orders depend on all
        rows, so that they are the same on any number of workers.
    """

    def __init__(
        self, source: CropSource, rows: Rows, *, cache_bytes: int, mine: Rows | None = None
    ) -> None:
        self._source = source
        crop_bytes = source.size_px**2 * np.dtype(np.float16).itemsize
        self.fits = len(np.unique(rows)) * crop_bytes <= cache_bytes
        wanted = np.unique(rows if mine is None else mine)
        share = cache_bytes if len(wanted) * crop_bytes <= cache_bytes else cache_bytes // 2
        in_reading_order = _concatenate(source.blocks(wanted))
        kept = in_reading_order[: share // crop_bytes]
        self._piece_rows = max(1, cache_bytes // 4 // crop_bytes)
        self._slot = np.full(len(source), -1, dtype=np.int64)
        self._slot[kept] = np.arange(len(kept))
        self._kept = _read(source, kept)

    def shuffle(self, rows: Rows, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return a random order of samples, given the row of each.

        All orders are equally likely where everything fits in memory. Otherwise blocks come in
        random order, and samples are shuffled among as many neighbouring blocks as fit: reading
        every sample's block anew would be far slower than training.
        """
        if self.fits or len(rows) == 0:
            return rng.permutation(len(rows))
        blocks = self._source.blocks(np.unique(rows))
        place = np.empty(len(self._source), dtype=np.int64)
        place[_concatenate([blocks[i] for i in rng.permutation(len(blocks))])] = np.arange(
            sum(map(len, blocks))
        )
        order = np.argsort(place[rows], kind="stable")
        ends = np.arange(self._piece_rows, len(order), self._piece_rows)
        return np.concatenate([rng.permutation(piece) for piece in np.split(order, ends)])

    def batches(self, batches: Sequence[Rows]) -> Iterator[Crops]:
        """Yield the crops of each batch, reading in a background thread what is not kept."""
        if all((self._slot[batch] >= 0).all() for batch in batches):
            for batch in batches:
                yield self._kept[self._slot[batch]]
            return
        pieces = self._pieces(batches)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="crops") as reader:
            waiting: list[Future[tuple[Rows, Crops]]] = [reader.submit(self._fetch, pieces[0])]
            for number, piece in enumerate(pieces):
                rows, crops = waiting.pop().result()
                if number + 1 < len(pieces):
                    waiting.append(reader.submit(self._fetch, pieces[number + 1]))
                for batch in piece:
                    yield self._pick(batch, rows, crops)

    def _pieces(self, batches: Sequence[Rows]) -> list[list[Rows]]:
        """Group batches so that two groups stay within half of the bound."""
        pieces: list[list[Rows]] = []
        n_rows = 0
        for batch in batches:
            n_missing = int((self._slot[batch] < 0).sum())
            if not pieces or n_rows + n_missing > self._piece_rows:
                pieces.append([])
                n_rows = 0
            pieces[-1].append(batch)
            n_rows += n_missing
        return pieces

    def _fetch(self, piece: list[Rows]) -> tuple[Rows, Crops]:
        """Read the rows of a piece that are not kept; give them sorted, with their crops."""
        rows = np.unique(np.concatenate(piece))
        rows = rows[self._slot[rows] < 0]
        return rows, _read(self._source, rows)

    def _pick(self, batch: Rows, rows: Rows, crops: Crops) -> Crops:
        size_px = self._source.size_px
        picked = np.empty((len(batch), size_px, size_px), dtype=np.float16)
        is_kept = self._slot[batch] >= 0
        picked[is_kept] = self._kept[self._slot[batch[is_kept]]]
        picked[~is_kept] = crops[np.searchsorted(rows, batch[~is_kept])]
        return picked


def _read(source: CropSource, rows: Rows) -> Crops:
    """Read crops block by block on a few threads; Zarr and OpenCV let go of the interpreter."""
    crops = np.empty((len(rows), source.size_px, source.size_px), dtype=np.float16)
    places: NDArray[Any] = np.full(len(source), -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))

    def work(block: Rows) -> None:
        crops[places[block]] = source.read(block)

    with ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="blocks") as pool:
        list(pool.map(work, source.blocks(rows)))
    return crops


def _concatenate(blocks: Sequence[Rows]) -> Rows:
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int64)
