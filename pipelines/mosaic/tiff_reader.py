"""TIFF, BigTIFF and OME-TIFF: the first full image of the file, strip by strip or tile by tile.

`tifffile` parses the tags and decodes segments; what it would forgive is refused here: empty,
short or missing segments, and sizes that the file cannot hold.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipelines.errors import MosaicError
from pipelines.mosaic.jpeg_structure import check_jpeg
from pipelines.mosaic.orientation import known_orientation
from pipelines.mosaic.raw_image import (
    BEST_MODERN_RATIO,
    BEST_RATIO,
    RawImage,
    check_piece,
    check_ratio,
    check_shape,
)
from pipelines.mosaic.tiff_metadata import (
    MOST_PAGES_READ,
    instrument_details,
    plane_notes,
    read_pixel_size,
    tag_value,
)
from pipelines.records import Window

#: None, CCITT, LZW, JPEG, deflate, PackBits, LZMA, JPEG 2000, Zstandard.
_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34712, 34925, 50000)
#: Those whose best ratio is known to be moderate.
_PLAIN = (1, 5, 8, 32773, 32946)
_JPEG = 7
#: Rows of an uncompressed image are read this many bytes at a time.
_ROWS_BYTES = 8 << 20


@contextmanager
def open_tiff(path: Path) -> Iterator[RawImage]:
    """Open a TIFF's first full image.

    Raises
    ------
    MosaicError
        If it cannot be read faithfully. On damaged files tifffile also raises nearly anything
        else; the caller must expect that.
    """
    # Only this file, though OME-XML may name others.
    with tifffile.TiffFile(path, _multifile=False) as tif, path.open("rb") as file:
        page = _first_image(tif)
        size_bytes = os.fstat(file.fileno()).st_size
        yield _open_page(tif, page, _Segments(page, file.fileno(), size_bytes))


def _first_image(tif: tifffile.TiffFile) -> Any:
    if not len(tif.pages):
        raise MosaicError("it has no image")
    first: Any = tif.pages[0]
    if not first.is_reduced:
        return first
    # Some writers put a thumbnail first.
    for i in range(1, min(len(tif.pages), MOST_PAGES_READ)):
        page: Any = tif.pages[i].aspage()
        if not page.is_reduced:
            return page
    return first


def _open_page(tif: tifffile.TiffFile, page: Any, segments: "_Segments") -> RawImage:
    description = tag_value(page, 270)
    text = description if isinstance(description, str) else ""
    return RawImage(
        shape=segments.shape,
        dtype=segments.dtype,
        read=segments.read,
        format="BigTIFF" if tif.is_bigtiff else "TIFF",
        colour=segments.colour,
        piece=segments.piece,
        piece_bytes=segments.piece_bytes,
        orientation=known_orientation(tag_value(page, 274)),
        inverted=segments.inverted,
        bits=page.bitspersample if segments.dtype.itemsize * 8 != page.bitspersample else None,
        palette=_palette(page) if segments.colour == "palette" else None,
        pixel_size=read_pixel_size(tif, page, text),
        notes=plane_notes(tif, page, text),
        details=instrument_details(tif),
    )


class _Segments:
    """The strips or tiles of one page, checked and decoded on demand."""

    def __init__(self, page: Any, descriptor: int, size_bytes: int) -> None:
        self._page, self._descriptor = page, descriptor
        self.shape = check_shape(page.imagelength, page.imagewidth)
        if page.compression not in _COMPRESSIONS:
            raise MosaicError(f"TIFF compression {_name(page.compression)} is not read")
        if page.planarconfig not in (1, 2):
            raise MosaicError(f"its planar configuration must be 1 or 2, got {page.planarconfig!r}")
        if page.imagedepth != 1:
            raise MosaicError("it is a volume (image depth above 1)")
        if not isinstance(page.bitspersample, int) or page.dtype is None:
            raise MosaicError(
                f"samples of {page.bitspersample} bits of format {page.sampleformat} are not read"
            )
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self.colour, self.inverted = _colour(page)
        self._n_samples = 3 if self.colour == "rgb" else 1
        self._grid, self.piece = self._plan()
        contig = page.samplesperpixel if page.planarconfig == 1 else 1
        self._contig = contig
        stored = self.piece[0] * self.piece[1] * contig * self.dtype.itemsize
        self._is_plain = bool(page.is_final) and (page.planarconfig == 1 or not page.is_tiled)
        self.piece_bytes = 0 if self._is_plain else check_piece(stored, "strip or tile")
        self._check_stored(size_bytes)
        if self._is_plain:
            self.piece = (1, 1)

    def _plan(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return rows and columns of segments, and the shape of one."""
        height, width = self.shape
        if self._page.is_tiled:
            piece = check_shape(self._page.tilelength, self._page.tilewidth)
        else:
            rows = self._page.rowsperstrip
            if not isinstance(rows, int) or rows < 1:
                raise MosaicError(f"its rows per strip must be positive, got {rows!r}")
            piece = (min(rows, height), width)
        return (-(-height // piece[0]), -(-width // piece[1])), piece

    def _check_stored(self, size_bytes: int) -> None:
        """Refuse a file that does not hold every segment it must."""
        page = self._page
        n_planes = page.samplesperpixel if page.planarconfig == 2 else 1
        n_segments = self._grid[0] * self._grid[1] * n_planes
        offsets, counts = page.dataoffsets, page.databytecounts
        if len(offsets) < n_segments or len(counts) < n_segments:
            n_listed = min(len(offsets), len(counts))
            raise MosaicError(f"it must have {n_segments} strips or tiles, but lists {n_listed}")
        for i in range(n_segments):
            if not 0 < offsets[i] <= offsets[i] + counts[i] <= size_bytes or counts[i] <= 0:
                raise MosaicError(
                    f"strip or tile {i} ({counts[i]} bytes at {offsets[i]}) does not lie in "
                    f"the file of {size_bytes} bytes"
                )
        pixels = self.shape[0] * self.shape[1] * page.samplesperpixel
        stored = sum(counts[:n_segments])
        if page.compression == 1 and pixels * page.bitspersample > 8 * stored:
            raise MosaicError(
                f"its pixels need {pixels * page.bitspersample // 8} bytes, but it stores {stored}"
            )
        best = BEST_RATIO if page.compression in _PLAIN else BEST_MODERN_RATIO
        check_ratio(pixels * self.dtype.itemsize, stored, best)

    def read(self, window: Window) -> NDArray[Any]:
        """Read a rectangle: (H, W), or (H, W, 3) for colour."""
        shape = window.shape if self.colour != "rgb" else (*window.shape, 3)
        out = np.empty(shape, self.dtype)
        if self._is_plain:
            self._read_rows(window, out)
            return out
        rows, columns = self._grid
        for row in range(window.y0 // self.piece[0], -(-window.y1 // self.piece[0])):
            for column in range(window.x0 // self.piece[1], -(-window.x1 // self.piece[1])):
                y0, x0 = row * self.piece[0], column * self.piece[1]
                index = row * columns + column
                if self._page.planarconfig == 2 and self._n_samples > 1:
                    planes = [
                        self._decode(index + sample * rows * columns)[..., 0]
                        for sample in range(self._n_samples)
                    ]
                    segment = np.stack(planes, axis=-1)
                else:
                    segment = self._decode(index)
                _copy_part(self._wanted(segment), out, y0 - window.y0, x0 - window.x0)
        return out

    def _wanted(self, segment: NDArray[Any]) -> NDArray[Any]:
        return segment[..., :3] if self.colour == "rgb" else segment[..., 0]

    def _decode(self, index: int) -> NDArray[Any]:
        page = self._page
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        data = os.pread(self._descriptor, count, offset)
        if page.compression == _JPEG:
            check_jpeg(data, self.piece)
        segment, _, shape = page.decode(
            data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader
        )
        if segment is None or segment.shape[1:3] != shape[1:3]:
            # tifffile lets the last tiles be short; such a tile has pixels for the image only.
            self._check_edge(segment, index)
        pixels: NDArray[Any] = segment[0]
        if pixels.dtype.newbyteorder("=") != self.dtype:
            raise MosaicError(f"strip or tile {index} holds {pixels.dtype}, not {self.dtype}")
        return pixels

    def _check_edge(self, segment: NDArray[Any] | None, index: int) -> None:
        row, column = divmod(index % (self._grid[0] * self._grid[1]), self._grid[1])
        height = min(self.piece[0], self.shape[0] - row * self.piece[0])
        width = min(self.piece[1], self.shape[1] - column * self.piece[1])
        if segment is None or segment.shape[1] < height or segment.shape[2] < width:
            raise MosaicError(f"strip or tile {index} has fewer pixels than it must")

    def _read_rows(self, window: Window, out: NDArray[Any]) -> None:
        """Read rows that lie one after the other, uncompressed."""
        page = self._page
        stored = np.dtype(page.parent.byteorder + self.dtype.char)
        row_bytes = self.shape[1] * self._contig * stored.itemsize
        step = max(1, _ROWS_BYTES // row_bytes)
        planes = self._n_samples if page.planarconfig == 2 else 1
        for plane in range(planes):
            start = page.dataoffsets[0] + plane * self.shape[0] * row_bytes
            for y in range(window.y0, window.y1, step):
                n_rows = min(step, window.y1 - y)
                data = os.pread(self._descriptor, n_rows * row_bytes, start + y * row_bytes)
                if len(data) != n_rows * row_bytes:
                    raise MosaicError("the file ends before its pixels do")
                rows = np.frombuffer(data, stored).reshape(n_rows, self.shape[1], self._contig)
                part = rows[:, window.x0 : window.x1]
                target = out[y - window.y0 : y - window.y0 + n_rows]
                if planes > 1:
                    target[..., plane] = part[..., 0]
                else:
                    target[...] = self._wanted(part)


def _copy_part(segment: NDArray[Any], out: NDArray[Any], y: int, x: int) -> None:
    """Copy what a segment at (y, x) of ``out`` shares with it."""
    height, width = out.shape[:2]
    y0, x0 = max(0, -y), max(0, -x)
    y1, x1 = min(segment.shape[0], height - y), min(segment.shape[1], width - x)
    out[y + y0 : y + y1, x + x0 : x + x1] = segment[y0:y1, x0:x1]


def _colour(page: Any) -> tuple[Literal["grey", "rgb", "palette"], bool]:
    """Say what the samples are, and whether zero means white."""
    photometric = tag_value(page, 262)
    if photometric is None:
        # The tag is required; without it libtiff guesses so too.
        photometric = 2 if page.samplesperpixel >= 3 else 1
    if photometric in (0, 1):
        return "grey", photometric == 0
    if photometric == 2 and page.samplesperpixel >= 3:
        return "rgb", False
    if photometric == 3 and page.samplesperpixel == 1:
        return "palette", False
    if photometric == 6 and page.compression == _JPEG and page.samplesperpixel == 3:
        return "rgb", False
    raise MosaicError(
        f"TIFF photometric interpretation {_name(page.photometric)} with {page.samplesperpixel} "
        "samples per pixel is not read"
    )


def _palette(page: Any) -> NDArray[np.uint16]:
    colours = np.asarray(tag_value(page, 320), dtype=np.uint16)
    if colours.size != 3 * 2**page.bitspersample:
        raise MosaicError("its colour map is missing or has the wrong length")
    return colours.reshape(3, -1).T


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))
