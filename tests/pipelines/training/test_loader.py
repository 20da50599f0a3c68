import threading

import numpy as np
import pytest

from pipelines.training.loader import CropLoader

CROP_BYTES = 4 * 4 * 2


class CountingSource:
    """40 crops filled with their row, in blocks of 10; counts what is read, and where."""

    size_px = 4

    def __init__(self):
        self.read_rows = []
        self.threads = set()

    def __len__(self):
        return 40

    def blocks(self, rows):
        return [rows[rows // 10 == block] for block in range(4) if (rows // 10 == block).any()]

    def read(self, rows):
        self.read_rows += rows.tolist()
        self.threads.add(threading.current_thread().name)
        return np.broadcast_to(rows[:, None, None], (len(rows), 4, 4)).astype(np.float16)


ROWS = np.arange(40)


def rows_of(loader, batches):
    return [crops[:, 0, 0].astype(int).tolist() for crops in loader.batches(batches)]


@pytest.mark.parametrize("n_kept", [0, 1, 7, 25, 40, 1000])
def test_every_batch_gets_its_own_crops_whatever_fits_in_memory(n_kept, rng):
    loader = CropLoader(CountingSource(), ROWS, cache_bytes=n_kept * CROP_BYTES)

    for _ in range(2):
        order = loader.shuffle(np.repeat(ROWS, 2), rng)
        batches = np.array_split(np.repeat(ROWS, 2)[order], 9)

        assert sorted(order.tolist()) == list(range(80))
        assert rows_of(loader, batches) == [batch.tolist() for batch in batches]


def test_what_fits_is_read_once_for_all_epochs(rng):
    source = CountingSource()
    loader = CropLoader(source, ROWS, cache_bytes=40 * CROP_BYTES)

    for _ in range(3):
        rows_of(loader, np.array_split(rng.permutation(ROWS), 5))

    assert sorted(source.read_rows) == ROWS.tolist()


def test_what_does_not_fit_is_read_once_an_epoch_and_the_rest_never_again(rng):
    source = CountingSource()
    loader = CropLoader(source, ROWS, cache_bytes=20 * CROP_BYTES)
    assert sorted(source.read_rows) == list(range(10))

    source.read_rows.clear()
    rows_of(loader, np.array_split(ROWS[loader.shuffle(ROWS, rng)], 8))

    assert sorted(source.read_rows) == list(range(10, 40))


def test_pieces_in_memory_stay_within_the_bound(rng):
    source = CountingSource()
    loader = CropLoader(source, ROWS, cache_bytes=16 * CROP_BYTES)

    pieces = loader._pieces(np.array_split(ROWS[loader.shuffle(ROWS, rng)], 20))

    kept = {row for row in source.read_rows}
    sizes = [len({*np.concatenate(piece).tolist()} - kept) for piece in pieces]
    assert max(sizes) <= 4
    assert len(kept) == 8


def test_reading_goes_on_in_the_background(rng):
    source = CountingSource()
    loader = CropLoader(source, ROWS, cache_bytes=8 * CROP_BYTES)
    source.threads.clear()

    next(iter(loader.batches(np.array_split(ROWS, 10))))

    assert threading.current_thread().name not in source.threads


def test_all_orders_are_possible_when_everything_fits():
    loader = CropLoader(CountingSource(), ROWS, cache_bytes=40 * CROP_BYTES)

    orders = [loader.shuffle(ROWS, np.random.default_rng(seed)) for seed in range(200)]

    # A row of the first block comes last as often as any other would.
    assert 0.1 < np.mean([order[-1] < 10 for order in orders]) < 0.4
    assert loader.fits


def test_blocks_are_mixed_with_their_neighbours_when_not_everything_fits():
    loader = CropLoader(CountingSource(), ROWS, cache_bytes=80 * CROP_BYTES // 4)

    order = loader.shuffle(ROWS, np.random.default_rng(0))

    assert not loader.fits
    assert order[:10].tolist() != sorted(order[:10].tolist())
    assert {row // 10 for row in order[:10]} != {0, 1, 2, 3}


def test_an_order_is_the_same_for_the_same_generator():
    for cache_bytes in (8 * CROP_BYTES, 999 * CROP_BYTES):
        loader = CropLoader(CountingSource(), ROWS, cache_bytes=cache_bytes)

        one, other = (loader.shuffle(ROWS, np.random.default_rng(3)) for _ in range(2))

        np.testing.assert_array_equal(one, other)


def test_an_error_while_reading_reaches_the_learner():
    class Broken(CountingSource):
        def read(self, rows):
            raise OSError("the disk has gone")

    loader = CropLoader(Broken(), ROWS[:0], cache_bytes=8 * CROP_BYTES)

    with pytest.raises(OSError, match="the disk has gone"):
        rows_of(loader, [ROWS])
