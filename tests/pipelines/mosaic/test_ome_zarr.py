import json
import pickle
import shutil

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image

from pipelines.errors import MosaicError
from pipelines.mosaic.ome_zarr import create_mosaic, open_mosaic, write_mosaic
from pipelines.mosaic.pyramid import halve_mean
from pipelines.records import Window


@pytest.fixture
def image(rng):
    return rng.integers(0, 65535, (1030, 700), dtype="uint16")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (513, 40), (600, 2100)])
def test_what_is_written_is_read_back(tmp_path, rng, dtype, shape):
    image = (rng.random(shape) * 255).astype(dtype)

    info = write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=2.5)
    mosaic = open_mosaic(tmp_path / "m.ome.zarr")

    assert (mosaic.info.name, mosaic.info.shape, mosaic.info.dtype) == ("m", shape, image.dtype)
    assert mosaic.info == info
    assert (mosaic.read(Window(0, 0, *shape)) == image).all()


def test_a_window_is_read_in_the_pixels_of_its_level(tmp_path, image):
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)
    mosaic = open_mosaic(tmp_path / "m.ome.zarr")

    window = Window(100, 50, 130, 90)

    assert (mosaic.read(window) == image[100:130, 50:90]).all()
    assert (mosaic.read(window, level=1) == halve_mean(image)[100:130, 50:90]).all()


def test_every_level_is_the_mean_of_the_one_below_across_all_shards(tmp_path, image):
    writer = create_mosaic(
        tmp_path / "m.ome.zarr",
        shape=image.shape,
        dtype=image.dtype,
        pixel_size_nm=None,
        chunk_px=64,
        shard_px=128,
    )
    for y0 in range(0, 1030, 128):
        for x0 in range(0, 700, 128):
            writer.write(y0, x0, image[y0 : y0 + 128, x0 : x0 + 128])
    info = writer.finish()

    mosaic = open_mosaic(tmp_path / "m.ome.zarr")
    assert info.n_levels == 3
    assert (mosaic.level(1)[...] == halve_mean(image)).all()
    assert (mosaic.level(2)[...] == halve_mean(halve_mean(image))).all()


def test_a_large_image_is_summarised_and_halved_block_by_block(tmp_path, rng):
    image = rng.integers(0, 255, (4200, 2100), dtype="uint8")

    info = write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=1.0)

    level_1 = open_mosaic(tmp_path / "m.ome.zarr").level(1)[...]
    assert (level_1 == halve_mean(image)).all()
    assert info.statistics["mean"] == pytest.approx(image.mean())
    assert info.statistics["percentiles"]["50"] == np.median(image)


def test_the_metadata_are_valid_ome_zarr(tmp_path, image):
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=4.0)

    group = Image.from_zarr(zarr.open_group(tmp_path / "m.ome.zarr", mode="r"))

    multiscale = group.ome_attributes.multiscales[0]
    assert [(axis.name, axis.unit) for axis in multiscale.axes] == [
        ("y", "nanometer"),
        ("x", "nanometer"),
    ]
    transforms = [d.coordinateTransformations for d in multiscale.datasets]
    assert [t[0].scale for t in transforms] == [[4.0, 4.0], [8.0, 8.0], [16.0, 16.0]]
    # The first pixel of level 2 is the mean of four by four: its centre is 1.5 pixels inside.
    assert transforms[2][1].translation == [6.0, 6.0]


def test_an_unknown_pixel_size_claims_no_unit(tmp_path, image):
    info = write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)

    ome = json.loads((tmp_path / "m.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert info.pixel_size_nm is None
    assert "unit" not in ome["multiscales"][0]["axes"][0]


def test_the_digest_depends_on_pixels_and_not_on_storage(tmp_path, image):
    plain = write_mosaic(tmp_path / "a.ome.zarr", image, pixel_size_nm=None)
    writer = create_mosaic(
        tmp_path / "b.ome.zarr",
        shape=image.shape,
        dtype=image.dtype,
        pixel_size_nm=1.0,
        chunk_px=100,
        shard_px=1100,
    )
    writer.write(0, 0, image)
    other_storage = writer.finish()
    changed = image.copy()
    changed[1029, 699] ^= 1
    other_pixel = write_mosaic(tmp_path / "c.ome.zarr", changed, pixel_size_nm=None)

    assert plain.digest == other_storage.digest
    assert plain.digest != other_pixel.digest


def test_the_digest_tells_shapes_and_dtypes_apart(tmp_path):
    images = [np.zeros((2, 8), "uint8"), np.zeros((4, 4), "uint8"), np.zeros((2, 4), "uint16")]

    digests = {
        write_mosaic(tmp_path / f"{i}.ome.zarr", image, pixel_size_nm=None).digest
        for i, image in enumerate(images)
    }

    assert len(digests) == 3


def test_a_mosaic_is_not_there_before_it_is_finished(tmp_path, image):
    path = tmp_path / "m.ome.zarr"
    writer = create_mosaic(path, shape=image.shape, dtype=image.dtype, pixel_size_nm=None)
    writer.write(0, 0, image)

    assert not path.exists()
    with pytest.raises(MosaicError, match="does not exist"):
        open_mosaic(path)
    writer.finish()
    assert [p.name for p in tmp_path.iterdir()] == ["m.ome.zarr"]


def test_a_writer_travels_to_another_process_by_its_settings(tmp_path, image):
    writer = create_mosaic(
        tmp_path / "m.ome.zarr", shape=image.shape, dtype=image.dtype, pixel_size_nm=None
    )

    pickle.loads(pickle.dumps(writer)).write(0, 0, image)

    assert (
        writer.finish().digest
        == write_mosaic(tmp_path / "n.ome.zarr", image, pixel_size_nm=None).digest
    )


def test_what_an_interrupted_run_left_is_begun_anew(tmp_path, image):
    path = tmp_path / "m.ome.zarr"
    create_mosaic(path, shape=(8, 8), dtype="uint8", pixel_size_nm=None)

    write_mosaic(path, image, pixel_size_nm=None)

    assert open_mosaic(path).info.shape == image.shape


def test_a_write_that_fails_leaves_nothing(tmp_path):
    image = np.array([[1.0, np.nan]], dtype="float32")

    with pytest.raises(MosaicError, match="pixels that are not finite"):
        write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)

    assert list(tmp_path.iterdir()) == []


def test_part_of_a_shard_is_not_written(tmp_path):
    writer = create_mosaic(
        tmp_path / "m.ome.zarr",
        shape=(100, 100),
        dtype="uint8",
        pixel_size_nm=None,
        chunk_px=16,
        shard_px=32,
    )

    for y0, x0, height, width in [(0, 0, 16, 32), (16, 0, 16, 16), (96, 96, 5, 4), (0, 0, 33, 32)]:
        with pytest.raises(ValueError, match="whole shards of 32 px"):
            writer.write(y0, x0, np.zeros((height, width), "uint8"))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"dtype": "int16"}, "uint8, uint16 or float32, got int16"),
        ({"shape": (0, 4)}, r"at least 1, got \(0, 4\)"),
        ({"shape": (4, 4, 3)}, r"\(height, width\)"),
        ({"pixel_size_nm": -1.0}, "pixel_size_nm must be positive and finite, got -1.0"),
        ({"pixel_size_nm": float("nan")}, "pixel_size_nm must be positive"),
    ],
)
def test_a_mosaic_that_breaks_a_rule_is_refused(tmp_path, given, rule):
    settings = {"shape": (4, 4), "dtype": "uint8", "pixel_size_nm": 1.0, **given}

    with pytest.raises(MosaicError, match=rule):
        create_mosaic(tmp_path / "m.ome.zarr", **settings)


def test_a_mosaic_is_never_overwritten(tmp_path, image):
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)

    with pytest.raises(MosaicError, match="is there already"):
        write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)


def test_what_is_no_mosaic_of_ours_is_refused(tmp_path, image):
    with pytest.raises(MosaicError, match=r"nope\.ome\.zarr does not exist"):
        open_mosaic(tmp_path / "nope.ome.zarr")

    (tmp_path / "empty.ome.zarr").mkdir()
    with pytest.raises(MosaicError, match=r"no zarr\.json"):
        open_mosaic(tmp_path / "empty.ome.zarr")

    zarr.create_group(tmp_path / "other.ome.zarr")
    with pytest.raises(MosaicError, match="not written by tessera"):
        open_mosaic(tmp_path / "other.ome.zarr")

    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)
    (tmp_path / "m.ome.zarr" / "zarr.json").write_text("{")
    with pytest.raises(MosaicError, match="damaged metadata"):
        open_mosaic(tmp_path / "m.ome.zarr")


def test_a_level_that_is_not_there_is_named(tmp_path):
    write_mosaic(tmp_path / "m.ome.zarr", np.ones((4, 4), "uint8"), pixel_size_nm=None)

    with pytest.raises(MosaicError, match="levels 0 to 0, got 1"):
        open_mosaic(tmp_path / "m.ome.zarr").level(1)


def test_a_mosaic_may_be_moved(tmp_path, image):
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)

    shutil.move(tmp_path / "m.ome.zarr", tmp_path / "n.ome.zarr")

    assert open_mosaic(tmp_path / "n.ome.zarr").info.name == "n"


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 5, 4), (0, 0, 4, 5), (3, 0, 2, 4)])
def test_a_window_that_is_not_inside_is_refused(tmp_path, window):
    write_mosaic(tmp_path / "m.ome.zarr", np.ones((4, 4), "uint8"), pixel_size_nm=None)

    with pytest.raises(ValueError, match="is not inside an image of"):
        open_mosaic(tmp_path / "m.ome.zarr").read(Window(*window))
