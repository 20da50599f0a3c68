"""Walk a JPEG's markers: its size, its orientation, and whether it is all there.

The decoder fills what is missing with grey and says nothing, so a cut-off picture is found here.
"""

import struct
from dataclasses import dataclass

from pipelines.errors import MosaicError

_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
#: Start-of-frame markers; C4, C8 and CC are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers without a length: restarts, and TEM.
_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}


@dataclass(frozen=True)
class JpegHeader:
    """What the markers say."""

    height: int
    width: int
    n_components: int
    bits: int
    orientation: int


def walk_jpeg(data: bytes) -> JpegHeader:
    """Walk to the end of a JPEG.

    Raises
    ------
    MosaicError
        If a marker is damaged, no frame is described, or the end is missing.
    """
    if data[:2] != b"\xff\xd8":
        raise MosaicError("it does not begin as a JPEG does")
    frame: tuple[int, int, int, int] | None = None
    orientation = 1
    at = 2
    while True:
        marker, at = _next_marker(data, at)
        if marker == _EOI:
            break
        if marker in _BARE or marker == _SOI:
            continue
        if at + 2 > len(data):
            raise MosaicError("the JPEG is cut off")
        (length,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + length]
        if length < 2 or at + length > len(data):
            raise MosaicError("the JPEG is cut off, or a marker's length is wrong")
        if marker in _FRAMES:
            if len(body) < 6:
                raise MosaicError("the JPEG's frame header is too short")
            bits, height, width, n_components = struct.unpack_from(">BHHB", body)
            frame = (height, width, n_components, bits)
        elif marker == _APP1 and body[:6] == b"Exif\0\0":
            orientation = exif_orientation(body[6:])
        at += length
    if frame is None:
        raise MosaicError("the JPEG describes no picture")
    return JpegHeader(*frame, orientation=orientation)


def check_jpeg(data: bytes, shape: tuple[int, int]) -> None:
    """Refuse a JPEG strip or tile that is cut off, or larger than its place."""
    header = walk_jpeg(data)
    if header.height > shape[0] or header.width > shape[1]:
        raise MosaicError(
            f"a JPEG strip or tile claims {header.height} x {header.width} pixels "
            f"in a place of {shape[0]} x {shape[1]}"
        )


def exif_orientation(tiff: bytes) -> int:
    """Return the orientation that EXIF data (a small TIFF) state; 1 where they state none."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (n_tags,) = struct.unpack_from(f"{order}H", tiff, first)
        for i in range(n_tags):
            code, kind, count = struct.unpack_from(f"{order}HHI", tiff, first + 2 + 12 * i)
            if code == 0x0112 and kind == 3 and count == 1:
                (value,) = struct.unpack_from(f"{order}H", tiff, first + 2 + 12 * i + 8)
                return int(value) if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    """Find the next marker, past entropy-coded data; return it and where its body begins."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise MosaicError("the JPEG is cut off: its end marker is missing")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0x00 or marker in _BARE:  # a data byte, or a restart within the data
            at += 2
        else:
            return marker, at + 2
