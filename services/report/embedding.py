"""Pictures inside the page, as data URIs, and beside it, as PNG files."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.evaluation.drawing import FAINT, INK

#: What inks become on a dark page.
_DARK = {INK: "#d9dee5", FAINT: "#454d57"}
_DPI = 150


@dataclass(frozen=True)
class Drawing:
    """A figure on the page: for light and for dark pages, and the name of its PNG file.

    ``width_px`` and ``height_px`` are CSS pixels.
    """

    kind: ClassVar[str] = "drawing"
    light: str
    dark: str
    alt: str
    file: str
    width_px: int
    height_px: int


class FigureFolder:
    """Turns figures into drawings, and keeps each as a PNG file in a folder beside the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, figure: Figure, alt: str) -> Drawing:
        """Keep a figure as ``name``.png and return it for the page."""
        file = self.save(name, figure)
        svg = to_svg(figure)
        width_in, height_in = figure.get_size_inches()
        return Drawing(
            light=_uri("image/svg+xml", svg.encode()),
            dark=_uri("image/svg+xml", darken(svg).encode()),
            alt=alt,
            file=file,
            width_px=round(96 * width_in),
            height_px=round(96 * height_in),
        )

    def save(self, name: str, figure: Figure) -> str:
        """Keep a figure as ``name``.png and return its path beside the page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.png").open("wb") as file:
            figure.savefig(file, format="png", dpi=_DPI, facecolor="white")
        return f"{self.folder.name}/{name}.png"

    def add_pixels(self, name: str, pixels: NDArray[np.uint8]) -> str:
        """Keep an image as ``name``.png and return its path beside the page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.png").write_bytes(to_png(pixels))
        return f"{self.folder.name}/{name}.png"


def to_svg(figure: Figure) -> str:
    """Draw a figure as SVG on a clear ground, the same bytes each time."""
    sink = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": "tessera", "svg.fonttype": "path"}):
        figure.savefig(sink, format="svg", transparent=True, metadata=nothing)
    return sink.getvalue()


def darken(svg: str) -> str:
    """Draw what is not data in light inks, for a dark page."""
    return re.sub("|".join(_DARK), lambda match: _DARK[match[0]], svg)


def to_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write (H, W), (H, W, 3) or (H, W, 4) pixels as a PNG file."""
    if pixels.ndim == 3:
        order = [2, 1, 0, 3][: pixels.shape[2]]
        pixels = np.ascontiguousarray(pixels[..., order])
    written, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 7])
    if not written:
        raise ValueError(f"pixels of shape {pixels.shape} cannot be written as PNG")
    return bytes(data)


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Write pixels as the data URI of a PNG."""
    return _uri("image/png", to_png(pixels))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
