from pathlib import Path

import numpy as np
import pytest

from pipelines.mosaic.crops import CropSpec, read_crops, scale_crops
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.training.crop_source import CropsInMemory, MosaicCrops


@pytest.fixture
def crops(tmp_path, rng):
    paths = [tmp_path / "one.ome.zarr", tmp_path / "two.ome.zarr"]
    for path in paths:
        image = rng.integers(0, 2**16, (1200, 150), dtype=np.uint16)
        write_mosaic(path, image, pixel_size_nm=None)
    return MosaicCrops(
        paths=paths,
        fields_px=[24.0, 36.0],
        mosaic_index=np.array([1, 0, 1, 0, 1]),
        centres_yx=np.array([[5.0, 5], [40, 40], [1100, 20], [1190, 140], [8, 9]]),
        orientations_rad=np.array([0, 0.5, 1, -0.5, -1]),
        spec=CropSpec(24, aligned=True),
    )


def test_rows_come_in_the_order_asked_for_from_their_own_mosaics(crops):
    read = crops.read(np.array([3, 0, 1]))

    assert read.dtype == np.float16
    assert read.shape == (3, 24, 24)
    for crop, row in zip(read, [3, 0, 1], strict=True):
        index = crops.mosaic_index[row]
        alone = read_crops(
            open_mosaic(crops.paths[index]),
            crops.centres_yx[[row]],
            crops.orientations_rad[[row]],
            crops.spec,
            field_px=crops.fields_px[index],
        )
        np.testing.assert_allclose(crop, scale_crops(alone)[0], atol=2e-3)


def test_blocks_keep_neighbours_of_a_mosaic_together(crops):
    blocks = [sorted(block.tolist()) for block in crops.blocks(np.arange(5))]

    assert blocks == [[1], [3], [0, 4], [2]]
    assert [block.tolist() for block in crops.blocks(np.array([4, 2]))] == [[4], [2]]


def test_a_glyph_keeps_its_hand_through_storage_scaling_and_half_precision(tmp_path, scene, hand):
    image = scene((120, 120), (60, 60), angle_deg=50, dtype=np.uint16)
    write_mosaic(tmp_path / "g.ome.zarr", image, pixel_size_nm=None)
    source = MosaicCrops(
        [tmp_path / "g.ome.zarr"], [50.0], np.zeros(2, int), np.array([[60.0, 60], [58, 61]]),
        np.radians([50.0, 50]), CropSpec(48, aligned=True),
    )  # fmt: skip

    assert [hand(crop) for crop in source.read(np.array([0, 1]))] == [1, 1]


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="must have one length, got 1, 2 and 1"):
        MosaicCrops(
            [Path("m")], [9.0], np.zeros(1, int), np.zeros((2, 2)), np.zeros(1), CropSpec(8)
        )


def test_crops_in_memory_are_picked():
    source = CropsInMemory(np.arange(12, dtype=np.float32).reshape(3, 2, 2))

    assert (len(source), source.size_px) == (3, 2)
    assert source.read(np.array([2, 0]))[:, 0, 0].tolist() == [8, 0]
    assert source.blocks(np.array([], int)) == []
