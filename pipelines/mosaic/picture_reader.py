"""PNG and JPEG: small enough to be decoded whole, after their structure was checked.

The decoders give out what a damaged file lets them, so sums, sizes and ends are checked first.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import MosaicError
from pipelines.mosaic.jpeg_structure import exif_orientation, walk_jpeg
from pipelines.mosaic.pixel_size import PixelSize, from_resolution
from pipelines.mosaic.raw_image import RawImage, check_piece, check_ratio, check_shape
from pipelines.records import Window

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: PNG colour type -> samples per pixel; 3 is a palette.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@dataclass(frozen=True)
class PngHeader:
    """What the chunks of a PNG say."""

    shape: tuple[int, int]
    depth: int
    colour_type: int
    n_data_bytes: int
    orientation: int
    pixel_size: PixelSize | None

    @property
    def n_pixel_bytes(self) -> int:
        """Bytes of the decoded pixels."""
        samples = 4 if self.colour_type == 3 else _PNG_SAMPLES[self.colour_type]
        return self.shape[0] * self.shape[1] * samples * (2 if self.depth == 16 else 1)


@contextmanager
def open_png(path: Path) -> Iterator[RawImage]:
    """Open a PNG; its palette is applied, packed samples are stretched to 0..255.

    Raises
    ------
    MosaicError
        If it is damaged. The decoder raises errors of its own too.
    """
    data = path.read_bytes()
    header = walk_png(data)
    size = check_piece(header.n_pixel_bytes, "picture")
    check_ratio(header.shape[0] * header.shape[1] * max(1, header.depth // 8), header.n_data_bytes)
    yield _picture(
        lambda: imagecodecs.png_decode(data),
        header.shape,
        np.dtype("uint16" if header.depth == 16 else "uint8"),
        size,
        # A palette of colours decodes to colours.
        colour="rgb" if header.colour_type in (2, 3, 6) else "grey",
        format="PNG",
        orientation=header.orientation,
        pixel_size=header.pixel_size,
        details={"palette": True} if header.colour_type == 3 else {},
    )


@contextmanager
def open_jpeg(path: Path) -> Iterator[RawImage]:
    """Open a JPEG, grey or colour, of 8 bits.

    Raises
    ------
    MosaicError
        If it is cut off or of a kind that is not read. The decoder raises errors of its own too.
    """
    data = path.read_bytes()
    header = walk_jpeg(data)
    shape = check_shape(header.height, header.width)
    if header.n_components not in (1, 3) or header.bits != 8:
        raise MosaicError(
            f"a JPEG of {header.n_components} components of {header.bits} bits is not read"
        )
    size = check_piece(shape[0] * shape[1] * header.n_components, "picture")
    check_ratio(shape[0] * shape[1], len(data))
    yield _picture(
        lambda: imagecodecs.jpeg8_decode(data),
        shape,
        np.dtype("uint8"),
        size,
        colour="rgb" if header.n_components == 3 else "grey",
        format="JPEG",
        orientation=header.orientation,
    )


def walk_png(data: bytes) -> PngHeader:
    """Walk through a PNG's chunks and check every sum.

    Raises
    ------
    MosaicError
        If a chunk is damaged, the header breaks a rule, or the end is missing.
    """
    header: tuple[tuple[int, int], int, int] | None = None
    n_data_bytes, orientation = 0, 1
    pixel_size = None
    at = len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise MosaicError("the PNG is cut off")
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if len(body) != length or at > len(data):
            raise MosaicError("the PNG is cut off")
        (crc,) = struct.unpack_from(">I", data, at - 4)
        if zlib.crc32(body, zlib.crc32(kind)) != crc:
            raise MosaicError(f"the PNG is damaged: the sum of its {_text(kind)} chunk is wrong")
        if header is None:
            header = _png_header(kind, body)
        elif kind == b"IDAT":
            n_data_bytes += length
        elif kind == b"eXIf":
            orientation = exif_orientation(body)
        elif kind == b"pHYs" and length == 9:
            pixel_size = _png_pixel_size(body)
        elif kind == b"IEND":
            return PngHeader(*header, n_data_bytes, orientation, pixel_size)


def _png_header(kind: bytes, body: bytes) -> tuple[tuple[int, int], int, int]:
    if kind != b"IHDR" or len(body) != 13:
        raise MosaicError("the PNG does not begin with its header")
    width, height, depth, colour_type = struct.unpack_from(">IIBB", body)
    if depth not in _PNG_DEPTHS.get(colour_type, ()):
        raise MosaicError(f"a PNG of colour type {colour_type} with {depth} bits does not exist")
    return check_shape(height, width), depth, colour_type


def _png_pixel_size(body: bytes) -> PixelSize | None:
    x_per_m, y_per_m, unit = struct.unpack(">IIB", body)
    return from_resolution(y_per_m, x_per_m, "m", "PNG pHYs chunk") if unit == 1 else None


def _picture(
    decode: Any,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    size_bytes: int,
    *,
    colour: Literal["grey", "rgb"],
    **known: Any,
) -> RawImage:
    """Make a raw image that decodes when it is first read, and then keeps its pixels."""
    kept: list[NDArray[Any]] = []

    def read(window: Window) -> NDArray[Any]:
        if not kept:
            kept.append(_checked(decode(), shape, dtype, colour))
        return kept[0][window.slices]

    return RawImage(
        shape=shape, dtype=dtype, read=read, piece_bytes=size_bytes, colour=colour, **known
    )


def _checked(
    pixels: NDArray[Any], shape: tuple[int, int], dtype: np.dtype[Any], colour: str
) -> NDArray[Any]:
    n_samples = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.shape[:2] != shape or pixels.dtype != dtype:
        raise MosaicError(
            f"it decodes to {pixels.shape} of {pixels.dtype}, its header says {shape} of {dtype}"
        )
    if (n_samples >= 3) != (colour == "rgb"):
        raise MosaicError(f"it decodes to {n_samples} samples per pixel, unlike its header says")
    if colour == "rgb":
        return pixels[..., :3]
    return pixels[..., 0] if pixels.ndim == 3 else pixels


def _text(kind: bytes) -> str:
    return kind.decode("ascii", "replace")
