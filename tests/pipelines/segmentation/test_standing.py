from pipelines.segmentation.standing import TileSet


def test_tiles_are_told_in_order_and_counted():
    tiles = TileSet([True, False, True, True])

    assert (list(tiles), len(tiles)) == ([0, 2, 3], 3)
    assert 2 in tiles
    assert 1 not in tiles


def test_a_tile_that_is_put_in_or_taken_out_twice_counts_once():
    tiles = TileSet([True, False, True])

    for _ in range(2):
        tiles.add(1)
        tiles.discard(0)

    assert (list(tiles), len(tiles)) == ([1, 2], 2)


def test_an_empty_set_is_false():
    assert not TileSet([False, False])
    assert not TileSet([])
