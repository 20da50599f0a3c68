from dataclasses import fields

import numpy as np
import pytest

from pipelines.mosaic.tiling import plan_tiles
from pipelines.records import Window
from pipelines.segmentation.painting import paint
from pipelines.segmentation.parts import TileParts
from pipelines.segmentation.tiles import segment_tile


@pytest.fixture
def parts(rng, rule):
    heights = rng.integers(0, 40, (30, 40)).astype(np.uint16)
    tile = plan_tiles((30, 40), core_px=16, halo_px=4)[1]
    return segment_tile(
        heights[tile.window.slices], heights[tile.window.slices], tile, (30, 40), rule
    )


def test_parts_come_back_from_a_file_as_they_were(parts, tmp_path):
    path = tmp_path / "tile.parts"
    path.write_bytes(parts.to_bytes())

    for again in (TileParts.from_bytes(parts.to_bytes()), TileParts.open(path)):
        for field in fields(TileParts):
            before, after = getattr(parts, field.name), getattr(again, field.name)
            assert np.array_equal(before, after), field.name
            assert getattr(before, "dtype", None) == getattr(after, "dtype", None)


def test_an_empty_core_comes_back_too():
    empty = TileParts.empty(Window(0, 16, 16, 32))

    again = TileParts.from_bytes(empty.to_bytes())

    assert again.core == Window(0, 16, 16, 32)
    assert again.n_segments == 0


def test_runs_are_painted_where_they_were(parts, rng):
    ids = np.arange(1, parts.n_segments + 1, dtype=np.uint32)

    painted = paint(parts, ids)

    assert painted.shape == parts.core.shape
    assert painted.dtype == np.uint32
    assert np.bincount(painted.ravel(), minlength=len(ids) + 1)[1:].tolist() == (
        parts.sums[:, 0].tolist()
    )


def test_segments_that_did_not_stay_are_background(parts):
    assert not paint(parts, np.zeros(parts.n_segments, dtype=np.uint32)).any()


def test_an_empty_core_is_painted_as_background():
    painted = paint(TileParts.empty(Window(4, 4, 8, 10)), np.empty(0, dtype=np.uint32))

    assert painted.tolist() == [[0] * 6] * 4
