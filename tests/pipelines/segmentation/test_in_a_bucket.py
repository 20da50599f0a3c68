import pickle

import numpy as np
import pytest

from pipelines.mosaic.ome_zarr import (
    create_instances,
    create_mosaic,
    has_instances,
    open_instances,
    open_mosaic,
)
from pipelines.places import move, place
from pipelines.records import Window
from pipelines.segmentation.painting import set_aside

SHAPE = (96, 160)
LEFT, RIGHT = Window(0, 0, 96, 128), Window(0, 128, 96, 160)


@pytest.fixture
def mosaic(bucket, tmp_path, rng):
    """A mosaic in a bucket, made beside it as ingest does."""
    writer = create_mosaic(
        tmp_path / "m.ome.zarr",
        shape=SHAPE,
        dtype=np.uint8,
        pixel_size_nm=2.0,
        chunk_px=32,
        shard_px=128,
    )
    pixels = rng.integers(0, 255, SHAPE, dtype=np.uint8)
    writer.write(0, 0, pixels[:, :128])
    writer.write(0, 128, pixels[:, 128:])
    writer.finish()
    here = open_mosaic(tmp_path / "m.ome.zarr").info
    path = place(f"s3://{bucket}/mosaics/m.ome.zarr")
    move(tmp_path / "m.ome.zarr", path)
    opened = open_mosaic(path)
    assert (opened.info, opened.info.digest) == (here, here.digest)
    np.testing.assert_array_equal(opened.read(Window(0, 0, *SHAPE)), pixels)
    return path


def segment(path, value, segmentation):
    """Write an instance image as two workers do, each of which has the writer from afar."""
    set_aside(path, segmentation)
    writer = create_instances(
        path,
        shape=SHAPE,
        pixel_size_nm=2.0,
        shard_px=128,
        chunk_px=32,
        attributes={"segmentation": segmentation},
    )
    for core in (RIGHT, LEFT):
        block = np.full(core.shape, value + (core == RIGHT), dtype=np.uint32)
        pickle.loads(pickle.dumps(writer)).write_core(core, block)
    assert not has_instances(path)
    writer.finish()


def test_instances_are_written_and_published_in_a_bucket(mosaic):
    segment(mosaic, 7, "first")

    found = open_instances(mosaic)
    expected = np.full(SHAPE, 7)
    expected[:, 128:] = 8
    np.testing.assert_array_equal(found.read(Window(0, 0, *SHAPE)), expected)
    assert found.attributes == {"segmentation": "first"}


def test_an_earlier_segmentation_is_set_aside_in_a_bucket(mosaic):
    segment(mosaic, 7, "first-of-all")
    segment(mosaic, 17, "second")

    aside = open_instances(mosaic, "instances-first-of")
    assert aside.read(Window(0, 0, 1, 1)) == 7
    assert open_instances(mosaic).read(Window(0, 0, 1, 1)) == 17
    segment(mosaic, 7, "first-of-all")
    assert has_instances(mosaic, "instances-second")


def test_an_earlier_segmentation_survives_being_set_aside_by_a_run_that_was_killed(mosaic):
    segment(mosaic, 7, "first-of-all")
    (mosaic / "labels" / "instances-first-of" / "0" / "zarr.json").write_text("{}")

    segment(mosaic, 17, "second")

    assert open_instances(mosaic, "instances-first-of").read(Window(0, 0, 1, 1)) == 7


def test_an_unfinished_image_of_other_settings_is_begun_anew_in_a_bucket(mosaic):
    for attributes in ({"segmentation": "a"}, {"segmentation": "b"}):
        writer = create_instances(
            mosaic, shape=SHAPE, pixel_size_nm=2.0, shard_px=128, attributes=attributes
        )
        if attributes["segmentation"] == "a":
            writer.write_core(LEFT, np.ones(LEFT.shape, dtype=np.uint32))
    writer.finish()

    assert not open_instances(mosaic).read(Window(0, 0, *SHAPE)).any()
