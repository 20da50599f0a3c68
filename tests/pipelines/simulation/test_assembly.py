import itertools

import numpy as np
import pytest

from pipelines.records import Window
from pipelines.simulation.assembly import gather


def cut_up(image, edges):
    for y0, y1 in itertools.pairwise(edges):
        for x0, x1 in itertools.pairwise(edges):
            block = image[y0:y1, x0:x1]
            yield Window(y0, x0, y1, x1), block, block.astype(np.uint32) + 1


@pytest.mark.parametrize("edges", [[0, 4, 8, 10], [0, 2, 6, 10], [0, 10], [0, 3, 5, 9, 10]])
def test_blocks_hold_what_the_tiles_held(edges, rng):
    image = rng.integers(0, 255, size=(10, 10), dtype=np.uint8)
    whole = np.zeros_like(image)

    blocks = list(gather(cut_up(image, edges), size_px=10, block_px=4))
    for window, grey, instances in blocks:
        whole[window.slices] = grey
        np.testing.assert_array_equal(instances, grey.astype(np.uint32) + 1)

    np.testing.assert_array_equal(whole, image)
    assert len(blocks) == 9
    assert {window.shape for window, _, _ in blocks} == {(4, 4), (4, 2), (2, 4), (2, 2)}


def test_a_block_comes_as_soon_as_its_last_tile_has():
    image = np.zeros((8, 8), np.uint8)
    taken = []

    def watched():
        for tile in cut_up(image, [0, 2, 4, 6, 8]):
            taken.append(tile[0])
            yield tile

    first = next(gather(watched(), size_px=8, block_px=4))

    assert first[0] == Window(0, 0, 4, 4)
    assert taken[-1] == Window(2, 2, 4, 4)
