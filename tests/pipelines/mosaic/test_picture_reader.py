import io
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pipelines.errors import MosaicError
from pipelines.mosaic.grey import plan_grey
from pipelines.mosaic.jpeg_structure import exif_orientation, walk_jpeg
from pipelines.mosaic.picture_reader import open_jpeg, open_png, walk_png
from pipelines.records import Window


def read(path, opener):
    with opener(path) as image:
        return plan_grey(image)[1](image.read(Window(0, 0, *image.shape)))


def save(path, picture, **options):
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_grey_png_is_read_as_it_is(tmp_path, rng, dtype):
    image = rng.integers(0, np.iinfo(dtype).max, (9, 14), dtype=dtype, endpoint=True)
    path = tmp_path / "i.png"
    cv2.imwrite(str(path), image)

    assert read(path, open_png).dtype == image.dtype
    assert (read(path, open_png) == image).all()


def test_colours_are_red_green_blue_and_alpha_is_left_out(tmp_path):
    colours = np.array([[[255, 0, 0, 9], [0, 255, 0, 0], [0, 0, 255, 255]]], "uint8")

    path = save(tmp_path / "i.png", Image.fromarray(colours, "RGBA"))

    assert read(path, open_png).tolist() == [[76, 150, 29]]


def test_grey_with_alpha_is_grey(tmp_path):
    pixels = np.array([[[10, 0], [200, 255]]], "uint8")

    path = save(tmp_path / "i.png", Image.fromarray(pixels, "LA"))

    assert read(path, open_png).tolist() == [[10, 200]]


def test_single_bits_and_palettes_are_shown(tmp_path):
    bits = Image.fromarray(np.array([[True, False]]))
    painted = Image.fromarray(np.array([[1, 0]], "uint8"), "P")
    painted.putpalette([0, 0, 0, 255, 0, 0])

    assert read(save(tmp_path / "b.png", bits), open_png).tolist() == [[255, 0]]
    assert read(save(tmp_path / "p.png", painted), open_png).tolist() == [[76, 0]]


def test_a_png_may_state_a_microscopes_pixel_size(tmp_path):
    pixels = Image.fromarray(np.zeros((2, 2), "uint8"))

    # 2.54e6 dots per inch are 10 nm; 72 are a screen's.
    with open_png(save(tmp_path / "m.png", pixels, dpi=(2.54e6, 2.54e6))) as image:
        assert image.pixel_size.edge_nm() == pytest.approx(10)
    with open_png(save(tmp_path / "s.png", pixels, dpi=(72, 72))) as image:
        assert image.pixel_size is None


def test_a_jpeg_is_read_grey_and_in_colour(tmp_path):
    shades = np.repeat(np.arange(0, 256, 8, dtype="uint8"), 8).reshape(16, 16)
    red = np.zeros((16, 16, 3), "uint8")
    red[..., 0] = 255

    grey = read(save(tmp_path / "g.jpg", Image.fromarray(shades), quality=95), open_jpeg)
    colour = read(save(tmp_path / "c.jpg", Image.fromarray(red), quality=95), open_jpeg)

    assert np.abs(grey.astype(int) - shades).max() <= 6
    assert np.abs(colour.astype(int) - 76).max() <= 2


def test_a_jpeg_of_print_colours_is_refused(tmp_path):
    path = save(tmp_path / "i.jpg", Image.fromarray(np.zeros((8, 8, 4), "uint8"), "CMYK"))

    with pytest.raises(MosaicError, match="4 components of 8 bits is not read"):
        read(path, open_jpeg)


def png_bytes(rng):
    return imagecodecs.png_encode(rng.integers(0, 255, (30, 40), dtype="uint8"))


def test_a_png_cut_off_anywhere_is_refused(rng):
    whole = png_bytes(rng)

    for n in range(8, len(whole), 7):
        with pytest.raises(MosaicError, match="cut off"):
            walk_png(whole[:n])


def test_a_png_with_a_wrong_bit_anywhere_is_refused(tmp_path, rng):
    whole = png_bytes(rng)
    path = tmp_path / "i.png"

    for at in range(8, len(whole), 11):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(MosaicError):
            read(path, open_png)


def chunk(kind, body):
    crc = struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    return struct.pack(">I", len(body)) + kind + body + crc


@pytest.mark.parametrize(
    ("width", "height", "depth", "colour_type", "rule"),
    [
        (0, 5, 8, 0, "its width must be 1 to"),
        (5, 2**31 - 1, 8, 0, "its height must be 1 to"),
        (5, 5, 7, 0, "colour type 0 with 7 bits does not exist"),
        (5, 5, 8, 5, "colour type 5 with 8 bits does not exist"),
        (60000, 60000, 8, 6, "GiB must be decoded at once"),
        (20000, 20000, 8, 0, "claims 400000000 bytes of pixels, but stores only 11"),
    ],
)
def test_a_png_whose_header_lies_is_refused(tmp_path, width, height, depth, colour_type, rule):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"abc")
    path = tmp_path / "i.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )

    with pytest.raises(MosaicError, match=rule):
        read(path, open_png)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_off_anywhere_is_refused(rng, progressive):
    file = io.BytesIO()
    pixels = Image.fromarray(rng.integers(0, 255, (60, 50), dtype="uint8"))
    pixels.save(file, "JPEG", progressive=progressive)
    whole = file.getvalue()

    assert walk_jpeg(whole).width == 50
    for n in range(2, len(whole) - 1, 17):
        with pytest.raises(MosaicError):
            walk_jpeg(whole[:n])


def test_the_end_of_a_preview_is_not_the_end_of_the_jpeg(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (60, 50), dtype="uint8")).save(file, "JPEG")
    whole = file.getvalue()
    preview = b"\xff\xe2" + struct.pack(">H", 2 + len(whole)) + whole

    with pytest.raises(MosaicError, match="end marker is missing"):
        walk_jpeg(whole[:2] + preview + whole[2:-2])


def test_what_follows_the_end_of_a_jpeg_does_not_matter(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (6, 5), dtype="uint8")).save(file, "JPEG")

    header = walk_jpeg(file.getvalue() + b"\0\0 a maker's notes \xff\xc0")

    assert (header.height, header.width, header.n_components) == (6, 5, 1)


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II",
        b"XX*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\x01\0",
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 77, 0),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 4, 1, 6),
    ],
)
def test_exif_that_states_no_orientation_means_upright(tiff):
    assert exif_orientation(tiff) == 1


@pytest.mark.parametrize(("mark", "order"), [(b"II", "<"), (b"MM", ">")])
def test_exif_of_either_byte_order_is_read(mark, order):
    tiff = mark + struct.pack(f"{order}HIHHHIHH", 42, 8, 1, 0x0112, 3, 1, 6, 0)

    assert exif_orientation(tiff) == 6
