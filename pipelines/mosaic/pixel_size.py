"""The edge of a pixel in nanometres, from what instruments and programs write down.

Trusted in this order: OME-XML, the instrument's own tags (FEI / Thermo Fisher, Zeiss), ImageJ's
unit, and last a resolution tag. Resolutions also serve printers and screens: one that means
pixels above 10 micrometres (2540 dots per inch) or below a picometre is not a microscope's, and
the pixel size then counts as unknown.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import MosaicError

LARGEST_PLAUSIBLE_NM = 10_000.0
SMALLEST_PLAUSIBLE_NM = 1e-3
#: Pixels are taken for square if their edges differ by less than this share.
SQUARE_TOLERANCE = 0.01
_UNITS_NM = {
    "m": 1e9,
    "dm": 1e8,
    "cm": 1e7,
    "mm": 1e6,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "nm": 1.0,
    "a": 0.1,
    "å": 0.1,
    "ang": 0.1,
    "pm": 1e-3,
    "fm": 1e-6,
    "in": 2.54e7,
    "meter": 1e9,
    "centimeter": 1e7,
    "millimeter": 1e6,
    "micrometer": 1e3,
    "nanometer": 1.0,
    "angstrom": 0.1,
    "picometer": 1e-3,
    "inch": 2.54e7,
}


@dataclass(frozen=True)
class PixelSize:
    """Height and width of a pixel, in nanometres, and where that is written."""

    height_nm: float
    width_nm: float
    source: str

    def edge_nm(self) -> float:
        """Return the edge of a square pixel.

        Raises
        ------
        MosaicError
            If pixels are not square.
        """
        if abs(self.height_nm - self.width_nm) > SQUARE_TOLERANCE * self.width_nm:
            raise MosaicError(
                f"pixels are not square: {self.height_nm:g} nm high and {self.width_nm:g} nm wide "
                f"by its {self.source}; give --pixel-size-nm if that is wrong"
            )
        return self.width_nm


def in_nm(value: Any, unit: str | None) -> float | None:
    """Convert a length to nanometres; None where the unit is unknown or the value is no length.

    Examples
    --------
    >>> in_nm(2, "um"), in_nm("0.5", "nanometer"), in_nm(3, "pixel"), in_nm(-1, "nm")
    (2000.0, 0.5, None, None)
    """
    factor = _UNITS_NM.get((unit or "").strip().lower())
    try:
        length = float(value) * factor if factor is not None else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return length if math.isfinite(length) and length > 0 else None


def make(height_nm: float | None, width_nm: float | None, source: str) -> PixelSize | None:
    """Make a pixel size if both edges are known."""
    if height_nm is None or width_nm is None:
        return None
    return PixelSize(height_nm, width_nm, source)


def from_ome_xml(xml: str) -> PixelSize | None:
    """Read the first image's physical size; without a unit OME means micrometres."""
    try:
        root = ElementTree.fromstring(xml.encode())
    except (ElementTree.ParseError, ValueError):
        return None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    edges = [
        in_nm(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "YX"
    ]
    return make(edges[0], edges[1], "OME-XML")


def from_resolution(
    y_per_unit: float | None, x_per_unit: float | None, unit: str, source: str
) -> PixelSize | None:
    """Read pixels per unit, where a microscope may have written them."""
    edges = [in_nm(1 / n, unit) if n and n > 0 else None for n in (y_per_unit, x_per_unit)]
    found = make(edges[0], edges[1], source)
    if found is None:
        return None
    smallest = min(found.height_nm, found.width_nm)
    largest = max(found.height_nm, found.width_nm)
    plausible = smallest >= SMALLEST_PLAUSIBLE_NM and largest <= LARGEST_PLAUSIBLE_NM
    return found if plausible else None


def from_imagej(description: str, y: float | None, x: float | None) -> PixelSize | None:
    """Read the unit that ImageJ writes into the description beside pixels per unit."""
    if not description.startswith("ImageJ="):
        return None
    unit = re.search(r"^unit=(.+)$", description, flags=re.MULTILINE)
    if unit is None:
        return None
    # ImageJ escapes the micro sign.
    name = unit[1].strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ")
    return from_resolution(y, x, name, "ImageJ description")


def from_fei(metadata: Mapping[str, Any]) -> PixelSize | None:
    """Read FEI / Thermo Fisher tags (34680, 34682): PixelWidth and PixelHeight in metres."""
    for section in ("Scan", "EScan", "IScan", "IRBeam"):
        values = metadata.get(section)
        if isinstance(values, Mapping):
            height = in_nm(values.get("PixelHeight"), "m")
            found = make(height, in_nm(values.get("PixelWidth"), "m"), "FEI tag")
            if found:
                return found
    return None


def from_zeiss(metadata: Mapping[str, Any]) -> PixelSize | None:
    """Read the Zeiss SEM tag (34118): the image's pixel size, with its unit."""
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        value = metadata.get(key)
        if isinstance(value, tuple | list) and len(value) >= 3:
            edge = in_nm(value[1], str(value[2]))
            if edge:
                return PixelSize(edge, edge, "Zeiss SEM tag")
    return None
