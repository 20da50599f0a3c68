"""What a TIFF says beside its pixels: pixel size, instrument settings, other planes."""

import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.mosaic.pixel_size import (
    PixelSize,
    from_fei,
    from_imagej,
    from_ome_xml,
    from_resolution,
    from_zeiss,
)

_RESOLUTION_UNITS = {2: "in", 3: "cm"}
#: Instruments write hundreds of settings; more than this is not an instrument's.
_MOST_DETAILS = 500
#: Stacks may have a hundred thousand pages; only short files' pages are read one by one.
MOST_PAGES_READ = 64


def tag_value(page: Any, code: int) -> Any:
    """Return a tag's value as plain numbers or text; None where it is absent."""
    tag = page.tags.get(code)
    if tag is None:
        return None
    value = tag.value
    return int(value) if isinstance(value, int) else value


def read_pixel_size(tif: Any, page: Any, description: str) -> PixelSize | None:
    """Find the pixel size; see `pipelines.mosaic.pixel_size` for what is trusted first."""
    per_unit = [_ratio(tag_value(page, code)) for code in (283, 282)]
    if is_ome(description):
        found = from_ome_xml(description)
        if found:
            return found
    if found := from_fei(_instrument(tif, "fei")) or from_zeiss(_instrument(tif, "sem")):
        return found
    if found := from_imagej(description, per_unit[0], per_unit[1]):
        return found
    unit = _RESOLUTION_UNITS.get(tag_value(page, 296) or 2)
    if unit is None:
        return None
    return from_resolution(per_unit[0], per_unit[1], unit, "TIFF resolution tag")


def is_ome(description: str) -> bool:
    """Tell whether a description is OME-XML."""
    return description.lstrip().startswith("<") and "<OME" in description[:2000]


def plane_notes(tif: Any, page: Any, description: str) -> tuple[str, ...]:
    """Say which planes of the file were left out."""
    if is_ome(description):
        sizes = _ome_sizes(description)
        left = [f"{sizes[axis]} {axis}" for axis in "TCZ" if sizes.get(axis, 1) > 1]
        if left and not (page.samplesperpixel > 1 and sizes.get("C") == page.samplesperpixel):
            return (f"the first plane of {', '.join(left)}",)
        return ()
    n_pages = len(tif.pages)
    if n_pages <= MOST_PAGES_READ:
        n_pages = sum(1 for other in tif.pages if not other.aspage().is_reduced)
    return (f"the first of {n_pages} pages",) if n_pages > 1 else ()


def instrument_details(tif: Any) -> dict[str, Any]:
    """Flatten what FEI and Zeiss instruments wrote into ``section.key: value``."""
    for name, kind in (("fei", "fei"), ("zeiss", "sem")):
        if metadata := _instrument(tif, kind):
            return {name: dict(itertools.islice(_flatten(metadata), _MOST_DETAILS))}
    return {}


def _instrument(tif: Any, kind: str) -> Mapping[str, Any]:
    """Return an instrument's settings; none where its tag is absent or cannot be understood."""
    try:
        metadata = getattr(tif, f"{kind}_metadata")
    except Exception:
        # A tag beside the pixels may be as damaged as it likes: the pixels are not.
        return {}
    return metadata if isinstance(metadata, Mapping) else {}


def _flatten(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"[:100]
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        elif isinstance(value, tuple | list):
            yield name, " ".join(str(part) for part in value)[:200]
        elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            yield name, value
        elif isinstance(value, str):
            yield name, value[:200]


def _ratio(value: Any) -> float | None:
    """Return the rational number of a resolution tag."""
    try:
        numerator, denominator = value
        return float(numerator) / float(denominator) if denominator else None
    except (TypeError, ValueError):
        return None


def _ome_sizes(xml: str) -> dict[str, int]:
    try:
        root = ElementTree.fromstring(xml.encode())
        pixels = next(e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels")
        return {axis: int(pixels.get(f"Size{axis}", "1")) for axis in "TCZ"}
    except (ElementTree.ParseError, StopIteration, ValueError):
        return {}
