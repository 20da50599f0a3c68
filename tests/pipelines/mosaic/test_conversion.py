import cv2
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from pipelines.errors import MosaicError
from pipelines.mosaic import conversion
from pipelines.mosaic.conversion import (
    UnknownPixelSizeError,
    convert,
    plan_regions,
    write_image,
)
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.mosaic.raw_image import RawImage
from pipelines.records import Window

ORIENTATIONS = range(1, 9)
TIFF_LAYOUTS = {
    "strips": {"rowsperstrip": 5},
    "whole": {},
    "tiles": {"tile": (16, 16)},
    "BigTIFF": {"bigtiff": True, "compression": "zlib"},
    "OME": {"ome": True},
}


def job(source, folder, kind="tiff", **settings):
    settings.setdefault("pixel_size_nm", 2.0)
    return Conversion(
        source=str(source), kind=kind, name="m", folder=str(folder), key="k", **settings
    )


def converted(source, folder, kind="tiff", **settings):
    """Convert and open; ``folder`` must not hold a mosaic yet."""
    folder.mkdir(exist_ok=True)
    convert(job(source, folder, kind, **settings))
    return open_mosaic(folder / "m.ome.zarr")


def pixels(mosaic):
    return mosaic.level(0)[...]


def raw(image, **known):
    return RawImage(
        shape=image.shape[:2],
        dtype=image.dtype,
        read=lambda window: image[window.slices],
        format="test",
        **known,
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", TIFF_LAYOUTS.values(), ids=TIFF_LAYOUTS)
def test_a_chiral_picture_keeps_its_hand_through_tiff(
    tmp_path, glyph, stored, layout, dtype, orientation
):
    tag = (274, 3, 1, orientation, True)
    path = tmp_path / "i.tif"
    image = stored(glyph.astype(dtype), orientation)
    tifffile.imwrite(path, image, extratags=[tag], photometric="minisblack", **layout)

    assert (pixels(converted(path, tmp_path / "out")) == glyph).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_chiral_picture_keeps_its_hand_through_png_and_jpeg(
    tmp_path, glyph, stored, suffix, orientation
):
    path = tmp_path / f"i.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = np.kron(glyph, np.ones((8, 8), "uint8"))
    Image.fromarray(stored(large, orientation)).save(path, exif=exif, quality=100)

    kind = {"png": "png", "jpg": "jpeg"}[suffix]
    found = pixels(converted(path, tmp_path / "out", kind)).astype(int)

    assert np.abs(found - large).max() <= (0 if suffix == "png" else 8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("zarr_format", "order"), [(2, "C"), (2, "F"), (3, "C")])
def test_a_chiral_picture_keeps_its_hand_through_zarr(tmp_path, glyph, zarr_format, order, dtype):
    multiscales = [
        {
            "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
            "datasets": [{"path": "0"}],
        }
    ]
    attributes = {2: {"multiscales": multiscales}, 3: {"ome": {"multiscales": multiscales}}}
    path = tmp_path / "i.zarr"
    zarr.create_group(path, zarr_format=zarr_format, attributes=attributes[zarr_format])
    memory = {"order": order} if zarr_format == 2 else {}
    array = zarr.create_array(
        path / "0", shape=glyph.shape, dtype=dtype, chunks=(5, 7), zarr_format=zarr_format, **memory
    )
    array[...] = np.asarray(glyph, order=order)

    assert (pixels(converted(path, tmp_path / "out", "zarr")) == glyph).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_chiral_picture_keeps_its_hand_across_shards_and_levels(
    tmp_path, monkeypatch, glyph, stored, orientation
):
    """Shards of 64 pixels: the glyph lies across their corner, at (100, 180)."""
    monkeypatch.setattr(conversion, "SHARD_PX", 64)
    monkeypatch.setattr(conversion, "REGION_BYTES", 64 * 64 * 2)
    shown = np.zeros((270, 700), "uint8")
    shown[100:148, 180:244] = np.kron(glyph, np.ones((4, 4), "uint8"))
    image = raw(stored(shown, orientation), orientation=orientation, piece=(17, 40))

    write_image(image, tmp_path / "m.ome.zarr", pixel_size_nm=None, acquisition={})

    mosaic = open_mosaic(tmp_path / "m.ome.zarr")
    assert (pixels(mosaic) == shown).all()
    assert (mosaic.read(Window(50, 90, 74, 122), level=1) == shown[100:148:2, 180:244:2]).all()


def test_the_hand_of_a_glyph_is_found_by_matching_it(tmp_path, glyph):
    """The test's own test: matching tells the glyph from its mirror image."""
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, glyph, extratags=[(274, 3, 1, 2, True)])

    found = pixels(converted(path, tmp_path / "out"))

    def best(template):
        turned = [np.rot90(template, k) for k in (0, 2)]
        return max(cv2.matchTemplate(found, t, cv2.TM_CCOEFF_NORMED).max() for t in turned)

    assert best(np.fliplr(glyph)) > 0.99 > best(glyph)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("piece", [(1, 1), (100, 8000), (3000, 3000), (8000, 8000)])
@pytest.mark.parametrize("shape", [(10, 10), (5000, 9000)])
def test_regions_are_whole_shards_and_cover_every_pixel_once(orientation, piece, shape):
    image = raw(np.lib.stride_tricks.as_strided(np.zeros(1, "uint8"), shape, (0, 0)))
    image = RawImage(
        image.shape, image.dtype, image.read, "test", piece=piece, orientation=orientation
    )
    height, width = shape if orientation < 5 else shape[::-1]
    counts = np.zeros((height, width), np.uint8)

    for region in plan_regions(image):
        counts[region.slices] += 1
        assert region.y0 % 2048 == region.x0 % 2048 == 0
        assert region.y1 % 2048 == 0 or region.y1 == height
        assert region.x1 % 2048 == 0 or region.x1 == width

    assert (counts == 1).all()


def test_a_region_takes_bounded_memory_however_large_the_image():
    wide = RawImage((10**6, 10**6), np.dtype("uint16"), lambda w: np.zeros(()), "test")

    first = next(plan_regions(wide))

    assert first.shape[0] * first.shape[1] * 2 <= conversion.REGION_BYTES


def test_the_pixel_size_comes_from_the_flag_then_the_file(tmp_path):
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, np.ones((4, 4), "uint8"), resolution=(1e6, 1e6), resolutionunit=3)

    stated = converted(path, tmp_path / "1", pixel_size_nm=None).info
    given = converted(path, tmp_path / "2", pixel_size_nm=3.0).info

    assert stated.pixel_size_nm == pytest.approx(10.0)
    assert stated.acquisition["pixel_size_from"] == "TIFF resolution tag"
    assert given.pixel_size_nm == 3.0
    assert given.acquisition["pixel_size_from"] == "--pixel-size-nm"
    assert given.acquisition["stated_pixel_size_nm"] == pytest.approx(10.0)


def test_an_unknown_pixel_size_is_refused_unless_allowed(tmp_path):
    path = tmp_path / "i.png"
    cv2.imwrite(str(path), np.ones((4, 4), "uint8"))

    with pytest.raises(UnknownPixelSizeError, match="PNG file states no pixel size"):
        converted(path, tmp_path / "1", "png", pixel_size_nm=None)

    allowed = converted(
        path, tmp_path / "2", "png", pixel_size_nm=None, allow_unknown_pixel_size=True
    )
    assert allowed.info.pixel_size_nm is None


def test_what_the_file_was_is_kept(tmp_path):
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, np.ones((3, 4, 5), "int16"), photometric="minisblack")

    acquisition = converted(path, tmp_path / "out").info.acquisition

    assert acquisition["source"] == {"file": "i.tif", "key": "k"}
    assert acquisition["format"] == "TIFF"
    assert acquisition["stored_dtype"] == "int16"
    assert acquisition["notes"] == ["the first of 3 pages"]


def test_a_file_that_fails_half_way_leaves_nothing(tmp_path):
    image = np.zeros((3000, 10), "float32")
    image[2999, 9] = np.inf
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, image)

    with pytest.raises(MosaicError, match="not finite"):
        converted(path, tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_dead_child_left_is_made_anew(tmp_path):
    path = tmp_path / "i.tif"
    for value in (1, 2):
        tifffile.imwrite(path, np.full((4, 4), value, "uint8"))
        mosaic = converted(path, tmp_path / "out")

    assert (pixels(mosaic) == 2).all()


def test_the_header_is_reported_before_pixels_are_read(tmp_path):
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, np.ones((40, 50), "uint16"), compression="zlib", rowsperstrip=10)
    (tmp_path / "out").mkdir()
    seen = []

    convert(job(path, tmp_path / "out"), opened=lambda *sizes: seen.append(sizes))

    assert seen == [(2000, 10 * 50 * 2)]


def test_a_mosaic_of_ours_comes_through_unchanged(tmp_path, rng):
    image = rng.integers(0, 65535, (1100, 300), dtype="uint16")
    source = write_mosaic(tmp_path / "s.ome.zarr", image, pixel_size_nm=5.0)

    info = converted(tmp_path / "s.ome.zarr", tmp_path / "out", "zarr", pixel_size_nm=None).info

    assert (info.digest, info.pixel_size_nm) == (source.digest, 5.0)
