import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile

from pipelines.errors import MosaicError
from pipelines.mosaic.grey import plan_grey
from pipelines.mosaic.tiff_reader import open_tiff
from pipelines.records import Window

#: How programs store pixels: strips, tiles that do not divide the image, compressions.
LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 5},
    "deflate": {"compression": "zlib", "rowsperstrip": 7},
    "deflate whole": {"compression": "zlib", "rowsperstrip": 1000},
    "deflate with predictor": {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
    "lzw tiles": {"compression": "lzw", "tile": (16, 32)},
    "tiles": {"tile": (16, 16)},
    "packbits": {"compression": "packbits", "rowsperstrip": 3},
    "zstandard tiles": {"compression": "zstd", "tile": (32, 16)},
    "BigTIFF": {"bigtiff": True, "rowsperstrip": 9},
    "big endian": {"byteorder": ">", "compression": "zlib"},
    "big endian, plain": {"byteorder": ">"},
}


def write(path, image, **layout):
    layout.setdefault("photometric", "rgb" if image.ndim == 3 else "minisblack")
    tifffile.imwrite(path, image, **layout)
    return path


def read(path, window=None):
    with open_tiff(path) as image:
        convert = plan_grey(image)[1]
        return convert(image.read(window or Window(0, 0, *image.shape)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_pixels_are_read_from_every_layout(tmp_path, rng, layout, dtype):
    image = (rng.random((37, 70)) * 200).astype(dtype)
    path = write(tmp_path / "i.tif", image, **layout)

    assert (read(path) == image).all()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "window", [(0, 0, 1, 1), (3, 5, 33, 66), (36, 0, 37, 70), (15, 31, 17, 33)]
)
def test_a_window_is_read_alone(tmp_path, rng, layout, window):
    image = rng.integers(0, 65535, (37, 70), dtype="uint16")
    path = write(tmp_path / "i.tif", image, **layout)

    assert (read(path, Window(*window)) == image[Window(*window).slices]).all()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colour_is_read_interleaved_and_in_planes(tmp_path, rng, planar, tile, compression):
    colours = rng.integers(0, 255, (20, 30, 3), dtype="uint8")
    stored = np.moveaxis(colours, -1, 0) if planar == "separate" else colours
    path = write(
        tmp_path / "i.tif",
        stored,
        photometric="rgb",
        planarconfig=planar,
        tile=tile,
        compression=compression,
    )

    with open_tiff(path) as image:
        assert image.colour == "rgb"
        assert (image.read(Window(2, 3, 19, 29)) == colours[2:19, 3:29]).all()


def test_alpha_is_left_out(tmp_path, rng):
    colours = rng.integers(0, 255, (4, 5, 4), dtype="uint8")
    path = write(tmp_path / "i.tif", colours, extrasamples=["unassalpha"])

    with open_tiff(path) as image:
        assert (image.read(Window(0, 0, 4, 5)) == colours[..., :3]).all()


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_strips_of_colour_are_decoded_as_another_program_does(tmp_path, photometric):
    samples = np.zeros((16, 16, 3), "uint8")
    samples[:] = (120, 60, 180)
    path = write(tmp_path / "i.tif", samples, compression="jpeg", photometric=photometric)

    other = cv2.imread(str(path))[..., ::-1].astype(int)

    with open_tiff(path) as image:
        assert np.abs(image.read(Window(0, 0, 16, 16)) - other).max() <= 1


def test_zero_may_mean_white(tmp_path):
    path = write(tmp_path / "i.tif", np.array([[0, 255]], "uint8"), photometric="miniswhite")

    assert read(path).tolist() == [[255, 0]]


def test_single_bits_become_black_and_white(tmp_path):
    drawing = np.array([[0, 1, 1, 0, 1, 0, 0, 1, 1]], dtype=bool)
    path = write(tmp_path / "i.tif", drawing)

    assert read(path).tolist() == [[0, 255, 255, 0, 255, 0, 0, 255, 255]]


def test_twelve_bits_keep_their_counts(tmp_path):
    counts = np.array([[0, 5, 4095, 2048]], dtype="uint16")
    path = write(tmp_path / "i.tif", counts, bitspersample=12)

    assert read(path).tolist() == counts.tolist()


def test_a_palette_is_applied(tmp_path):
    table = np.zeros((3, 256), "uint16")
    table[:, 7] = 65535
    path = write(
        tmp_path / "i.tif", np.array([[7, 0]], "uint8"), photometric="palette", colormap=table
    )

    assert read(path).tolist() == [[255, 0]]


def test_the_first_page_is_read_and_the_others_are_mentioned(tmp_path):
    pages = np.stack([np.full((4, 5), value, "uint8") for value in (3, 4, 5)])
    path = write(tmp_path / "i.tif", pages, photometric="minisblack")

    assert (read(path) == 3).all()
    with open_tiff(path) as image:
        assert image.notes == ("the first of 3 pages",)


def test_a_thumbnail_in_front_is_not_the_image(tmp_path):
    path = tmp_path / "i.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((2, 2), "uint8"), subfiletype=1, photometric="minisblack")
        tif.write(np.ones((8, 8), "uint8"), photometric="minisblack")

    assert read(path).shape == (8, 8)


def test_ome_tiff_says_its_pixel_size_and_its_planes(tmp_path):
    stack = np.zeros((2, 3, 4, 5), "uint8")
    stack[0, 0] = 9
    path = tmp_path / "i.ome.tif"
    size = {"PhysicalSizeX": 2.5, "PhysicalSizeXUnit": "nm"}
    size |= {"PhysicalSizeY": 2.5, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(path, stack, metadata={"axes": "CZYX", **size}, photometric="minisblack")

    with open_tiff(path) as image:
        assert image.pixel_size.edge_nm() == 2.5
        assert image.notes == ("the first plane of 2 C, 3 Z",)
    assert (read(path) == 9).all()


@pytest.mark.parametrize(
    ("resolution", "unit", "nm"),
    [((1e6, 1e6), 3, 10.0), ((300, 300), 2, None), ((2e6, 2e6), 2, 12.7), ((5, 5), 1, None)],
)
def test_resolution_tags_are_read_where_they_are_a_microscopes(tmp_path, resolution, unit, nm):
    path = write(
        tmp_path / "i.tif", np.zeros((2, 2), "uint8"), resolution=resolution, resolutionunit=unit
    )

    with open_tiff(path) as image:
        found = image.pixel_size and image.pixel_size.edge_nm()
    assert found == (None if nm is None else pytest.approx(nm))


def test_an_imagej_tiff_says_its_unit(tmp_path):
    path = write(
        tmp_path / "i.tif",
        np.zeros((2, 2), "uint8"),
        imagej=True,
        resolution=(0.25, 0.25),
        metadata={"unit": "nm"},
    )

    with open_tiff(path) as image:
        assert image.pixel_size.edge_nm() == 4.0


def test_fei_tags_are_read(tmp_path):
    text = "[Beam]\r\nHV=5000\r\n[Scan]\r\nPixelWidth=3e-009\r\nPixelHeight=3e-009\r\n"
    path = write(
        tmp_path / "i.tif",
        np.zeros((2, 2), "uint8"),
        extratags=[(34682, 2, 0, text, True)],
    )

    with open_tiff(path) as image:
        assert image.pixel_size.source == "FEI tag"
        assert image.pixel_size.edge_nm() == pytest.approx(3)
        assert image.details["fei"]["Beam.HV"] == 5000


def test_zeiss_tags_are_read(tmp_path):
    text = "\r\n" * 10 + "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 1.5 nm\r\n"
    path = write(
        tmp_path / "i.tif",
        np.zeros((2, 2), "uint8"),
        extratags=[(34118, 2, 0, text.encode("cp1252"), True)],
    )

    with open_tiff(path) as image:
        assert image.pixel_size.source == "Zeiss SEM tag"
        assert image.pixel_size.edge_nm() == pytest.approx(1.5)


def test_a_damaged_instrument_tag_does_not_condemn_the_pixels(tmp_path, monkeypatch):
    def fail(*args):
        raise ValueError("what is this?")

    monkeypatch.setattr(tifffile.TiffFile, "fei_metadata", property(fail))
    path = write(tmp_path / "i.tif", np.ones((2, 2), "uint8"))

    assert read(path).all()


def test_a_long_stack_is_not_read_page_by_page(tmp_path, monkeypatch):
    stack = np.zeros((200, 2, 3), "uint8")
    path = write(tmp_path / "i.tif", stack, photometric="minisblack", metadata=None)
    n_read = []
    aspage = tifffile.TiffPage.aspage
    monkeypatch.setattr(tifffile.TiffPage, "aspage", lambda self: n_read.append(1) or aspage(self))

    with open_tiff(path) as image:
        assert image.notes == ("the first of 200 pages",)
    assert len(n_read) == 0


def tiff(entries, *, data=b"", size=None):
    """Make a little-endian TIFF by hand: tags of one LONG each, data at offset 8."""
    ifd = struct.pack("<H", len(entries))
    for code, value in sorted(entries.items()):
        ifd += struct.pack("<HHII", code, 4, 1, value)
    file = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd + b"\0\0\0\0"
    return file if size is None else file[:size]


#: 4 x 4 pixels of 8 bits, uncompressed.
GOOD = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 16}
PIXELS = bytes(range(16))


def test_a_tiff_made_by_hand_is_read(tmp_path):
    path = tmp_path / "i.tif"
    path.write_bytes(tiff(GOOD, data=PIXELS))

    assert read(path).ravel().tolist() == list(PIXELS)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({256: 0}, "its width must be 1 to"),
        ({257: 2**31}, "its height must be 1 to"),
        ({257: 5, 278: 5}, "pixels need 20 bytes, but it stores 16"),
        ({256: 2**20, 257: 2**20}, "must have 262144 strips or tiles, but lists 1"),
        ({279: 10**6}, "does not lie in the file"),
        ({279: 0}, "does not lie in the file"),
        ({273: 10**6}, "does not lie in the file"),
        ({273: 0}, "does not lie in the file"),
        ({278: 0}, "rows per strip must be positive, got 0"),
        ({278: 2}, "must have 2 strips or tiles, but lists 1"),
        ({259: 6}, "compression OJPEG is not read"),
        ({259: 1234}, "compression 1234 is not read"),
        ({262: 8}, "photometric interpretation CIELAB"),
        ({262: 2}, "photometric interpretation RGB with 1"),
        ({258: 83}, "samples of 83 bits"),
        ({284: 9}, "planar configuration"),
    ],
)
def test_a_tiff_that_lies_is_refused(tmp_path, change, rule):
    path = tmp_path / "i.tif"
    path.write_bytes(tiff({**GOOD, **change}, data=PIXELS))

    with pytest.raises(MosaicError, match=rule):
        read(path)


def test_a_compressed_strip_with_too_few_pixels_is_refused(tmp_path):
    packed = zlib.compress(PIXELS[:12])
    path = tmp_path / "i.tif"
    path.write_bytes(tiff({**GOOD, 259: 8, 279: len(packed)}, data=packed))

    with pytest.raises(Exception, match="cannot be reshaped"):
        read(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    packed = zlib.compress(bytes(1 << 20))
    change = {256: 2**16, 257: 2**14, 278: 2**14, 259: 8, 279: len(packed)}
    path = tmp_path / "i.tif"
    path.write_bytes(tiff({**GOOD, **change}, data=packed))

    with pytest.raises(MosaicError, match="claims 1073741824 bytes of pixels, but stores only"):
        read(path)


def test_an_empty_picture_is_no_bomb(tmp_path):
    blank = np.zeros((3000, 3000), "uint8")

    for compression in ("zlib", "lzw", "zstd", "lzma"):
        path = write(tmp_path / "i.tif", blank, compression=compression, rowsperstrip=3000)
        assert not read(path).any()


def test_a_strip_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.mosaic.raw_image.LARGEST_PIECE_BYTES", 1000)
    path = write(tmp_path / "i.tif", np.zeros((40, 40), "uint8"), compression="zlib")

    with pytest.raises(MosaicError, match=r"strip or tile of .* GiB must be decoded at once"):
        read(path)


def test_a_file_cut_off_is_refused(tmp_path, rng):
    image = rng.integers(0, 255, (64, 64), dtype="uint8")
    whole = io.BytesIO()
    tifffile.imwrite(whole, image, rowsperstrip=8, photometric="minisblack")
    path = tmp_path / "i.tif"
    path.write_bytes(whole.getvalue()[:-500])

    with pytest.raises(MosaicError, match="does not lie in the file"):
        read(path)


def test_a_jpeg_tile_larger_than_its_place_is_refused(tmp_path, rng):
    image = rng.integers(0, 255, (32, 32), dtype="uint8")
    path = write(tmp_path / "i.tif", image, compression="jpeg", tile=(32, 32))
    damaged = bytearray(path.read_bytes())
    frame = damaged.find(b"\xff\xc0")
    damaged[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    path.write_bytes(bytes(damaged))

    with pytest.raises(MosaicError, match="claims 60000 x 60000 pixels in a place of 32 x 32"):
        read(path)
