import pickle

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from pipelines.errors import MosaicError
from pipelines.mosaic.instance_images import (
    InstanceWriter,
    create_instances,
    has_instances,
    open_instances,
)
from pipelines.mosaic.ngff import level_shapes
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.mosaic.tiling import plan_tiles
from pipelines.records import Window


@pytest.fixture
def mosaic(tmp_path):
    path = tmp_path / "m.ome.zarr"
    write_mosaic(path, np.ones((8, 8), "uint8"), pixel_size_nm=3.0)
    return path


def begin(mosaic, shape, *, shard_px, chunk_px=512, name="instances", **attributes):
    return create_instances(
        mosaic,
        name,
        shape=shape,
        pixel_size_nm=3.0,
        shard_px=shard_px,
        chunk_px=chunk_px,
        attributes=attributes,
    )


@pytest.mark.parametrize("shape", [(5, 7), (700, 300), (1025, 1500)])
@pytest.mark.parametrize("shard_px", [128, 512, 600, 333])
def test_every_level_is_each_second_pixel_of_the_one_below(mosaic, rng, shape, shard_px):
    instances = rng.integers(0, 2**32, shape, dtype="uint32")
    writer = begin(mosaic, shape, shard_px=shard_px)

    # Backwards: no task may rely on another.
    for tile in reversed(plan_tiles(shape, core_px=shard_px, halo_px=0)):
        InstanceWriter(mosaic).write_core(tile.core, instances[tile.core.slices])
    image = writer.finish()

    assert image.n_levels == len(level_shapes(shape))
    for k in range(image.n_levels):
        assert (image.level(k)[...] == instances[:: 2**k, :: 2**k]).all()


def test_a_core_written_twice_or_emptied_again_holds_what_was_written_last(mosaic):
    writer = begin(mosaic, (600, 600), shard_px=600)
    full = np.full((600, 600), 9, "uint32")

    for block in (full, full, np.zeros_like(full)):
        writer.write_core(Window(0, 0, 600, 600), block)

    assert not writer.finish().read(Window(0, 0, 600, 600)).any()


def test_an_image_is_there_only_when_it_is_finished(mosaic):
    writer = begin(mosaic, (4, 4), shard_px=16)
    writer.write_core(Window(0, 0, 4, 4), np.eye(4, dtype="uint32"))

    assert not has_instances(mosaic)
    with pytest.raises(MosaicError, match="has no labels/instances"):
        open_instances(mosaic)

    writer.finish()
    assert (open_instances(mosaic).read(Window(0, 0, 4, 4)) == np.eye(4)).all()


def test_attributes_are_kept(mosaic):
    begin(mosaic, (4, 4), shard_px=16, settings="abc", n_instances=7).finish()

    assert open_instances(mosaic).attributes == {"settings": "abc", "n_instances": 7}


def test_an_unfinished_image_of_equal_making_goes_on(mosaic):
    ones = np.ones((16, 16), "uint32")
    begin(mosaic, (16, 32), shard_px=16, made="so").write_core(Window(0, 0, 16, 16), ones)

    writer = begin(mosaic, (16, 32), shard_px=16, made="so")
    writer.write_core(Window(0, 16, 16, 32), 2 * ones)

    assert writer.finish().level(0)[0, ::16].tolist() == [1, 2]


@pytest.mark.parametrize("change", [{"made": "otherwise"}, {"shard_px": 32}])
def test_an_image_of_another_making_begins_empty(mosaic, change):
    writer = begin(mosaic, (16, 32), **{"shard_px": 16, "made": "so"})
    writer.write_core(Window(0, 0, 16, 16), np.ones((16, 16), "uint32"))
    writer.finish()

    again = begin(mosaic, (16, 32), **{"shard_px": 16, "made": "so", **change})

    assert not has_instances(mosaic)
    assert not again.finish().level(0)[...].any()


def test_two_images_stand_beside_each_other(mosaic):
    begin(mosaic, (4, 4), shard_px=16, name="truth").finish()
    begin(mosaic, (4, 4), shard_px=16).finish()

    assert has_instances(mosaic, "truth")
    assert has_instances(mosaic, "instances")


def test_the_metadata_are_valid_ome_zarr(mosaic):
    begin(mosaic, (700, 300), shard_px=256).finish()

    labels = Labels.from_zarr(zarr.open_group(mosaic / "labels", mode="r"))
    image = ImageLabel.from_zarr(zarr.open_group(mosaic / "labels" / "instances", mode="r"))

    assert labels.ome_attributes.labels == ["instances"]
    assert image.ome_attributes.image_label.source.image == "../../"
    datasets = image.ome_attributes.multiscales[0].datasets
    assert [d.coordinateTransformations[0].scale for d in datasets] == [[3.0, 3.0], [6.0, 6.0]]


def test_a_writer_travels_by_its_path_alone(mosaic):
    writer = begin(mosaic, (4, 4), shard_px=16)
    writer.write_core(Window(0, 0, 4, 4), np.zeros((4, 4), "uint32"))

    travelled = pickle.dumps(writer)

    assert len(travelled) < 500
    pickle.loads(travelled).write_core(Window(0, 0, 4, 4), np.full((4, 4), 3, "uint32"))
    assert (writer.finish().level(0)[...] == 3).all()


@pytest.mark.parametrize(
    ("core", "dtype", "rule"),
    [
        (Window(0, 0, 8, 16), "uint32", "whole shards of 16 px"),
        (Window(8, 0, 24, 16), "uint32", "whole shards of 16 px"),
        (Window(0, 0, 16, 16), "int64", "block must be uint32"),
    ],
)
def test_a_core_that_could_lose_data_is_refused(mosaic, core, dtype, rule):
    writer = begin(mosaic, (40, 40), shard_px=16)

    with pytest.raises(ValueError, match=rule):
        writer.write_core(core, np.zeros(core.shape, dtype))


def test_a_block_of_another_shape_than_its_core_is_refused(mosaic):
    writer = begin(mosaic, (40, 40), shard_px=16)

    with pytest.raises(ValueError, match="of shape"):
        writer.write_core(Window(0, 0, 16, 16), np.zeros((16, 8), "uint32"))
