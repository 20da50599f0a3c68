from pathlib import Path

import pytest

from pipelines.digests import digest_json
from pipelines.ledger import Entry
from pipelines.segmentation.scratch import Scratch
from pipelines.segmentation.tile_plans import TilePlans


@pytest.fixture
def tiles():
    scratch = Scratch(Path("/nowhere"))
    return TilePlans("m", "key-of-m", Path("/m.ome.zarr"), scratch, "s", (150, 130), 64)


def test_tiles_partition_the_mosaic_in_row_major_order(tiles):
    cores = [tuple(tile.task.core) for tile in tiles]

    assert cores[:3] == [(0, 0, 64, 64), (0, 64, 64, 128), (0, 128, 64, 130)]
    assert cores[-1] == (128, 128, 150, 130)
    assert len(cores) == len(tiles) == 9


def test_a_tile_is_the_same_whenever_it_is_asked_for(tiles):
    assert tiles[4] == list(tiles)[4]
    assert tiles[4].index == 4
    assert tiles[4].key == digest_json(["key-of-m", [64, 64, 128, 128]])
    assert not tiles[4].task.alone


def test_an_entry_of_the_ledger_leads_to_its_tile(tiles):
    tile = tiles[5]

    assert tiles.find(Entry(tile.key, "segment", "m", tile.task.unit)) == 5


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("of another segmentation", "y64-128_x64-128"),
        ("of other tiles", "y6400-6464_x0-64"),
        ("of the whole", "mosaic"),
    ],
)
def test_other_entries_lead_to_no_tile(tiles, key, unit):
    assert tiles.find(Entry(key, "segment", "m", unit)) is None
