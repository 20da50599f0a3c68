"""From a file's samples to a mosaic's grey values.

uint8, uint16 and float32 are kept. Everything else follows these rules:

- Colour becomes luma, ``0.299 R + 0.587 G + 0.114 B``, rounded to nearest for integers, so grey
  pixels keep their value. Alpha is ignored. A palette is applied first, in 8 bits.
- Where zero means white (TIFF photometric 0) integers are inverted, as viewers show them.
- 1, 2 and 4 bit samples are stretched to 0..255, as viewers show them; 9 to 15 bit samples keep
  their counts, as uint16.
- int8, int16 and float16 become float32, exactly. Wider integers become float32 if no value
  exceeds 2**24, beyond which float32 cannot hold them. float64 becomes float32, rounded.
- Pixels that are not finite, and complex numbers, are refused.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import MosaicError
from pipelines.mosaic.raw_image import RawImage

Convert = Callable[[NDArray[Any]], NDArray[Any]]
#: float32 holds every whole number up to here.
_LARGEST_EXACT = 2**24


def plan_grey(image: RawImage) -> tuple[np.dtype[Any], Convert]:
    """Choose the mosaic's dtype, and the function that makes it of stored pixels.

    Returns
    -------
    dtype : numpy.dtype
        uint8, uint16 or float32.
    convert : callable
        Turns what ``image.read`` returns into (H, W) of ``dtype``.

    Raises
    ------
    MosaicError
        If the samples cannot become grey values.
    """
    dtype = np.dtype(image.dtype.newbyteorder("="))
    if image.colour == "palette":
        if image.palette is None or dtype.kind not in "ub":
            raise MosaicError("its palette is missing or its samples are no indices")
        table = grey_table(image.palette)
        return np.dtype("uint8"), lambda block: apply_table(table, block)
    steps: list[Convert] = [luma] if image.colour == "rgb" else []
    bits = image.bits or 8 * dtype.itemsize
    if dtype.kind == "b":
        bits, dtype = 1, np.dtype("uint8")
        steps.insert(0, lambda block: block.astype(np.uint8))
    if image.inverted:
        if dtype.kind != "u":
            raise MosaicError(f"zero means white, which is not defined for {dtype} samples")
        white = 2**bits - 1
        steps.append(lambda block: np.asarray(white - block, dtype=block.dtype))
    if dtype.kind == "u" and bits < 8:
        steps.append(lambda block: stretch(block, bits))
    target, last = _plan_dtype(dtype)
    steps.append(last)
    return target, lambda block: _chain(steps, block)


def luma(block: NDArray[Any]) -> NDArray[Any]:
    """Weigh (H, W, 3) red, green and blue into (H, W) of the same dtype."""
    if block.dtype.kind == "f":
        red, green, blue = (block[..., i] for i in range(3))
        weight = block.dtype.type
        # In this form grey pixels keep their value to the last bit.
        return np.asarray(red + (green - red) * weight(0.587) + (blue - red) * weight(0.114))
    if block.dtype.kind != "u" or block.dtype.itemsize > 2:
        raise MosaicError(f"colour of dtype {block.dtype} cannot become grey")
    wide = block.astype(np.uint32)
    total = 299 * wide[..., 0] + 587 * wide[..., 1] + 114 * wide[..., 2]
    return ((total + 500) // 1000).astype(block.dtype)


def grey_table(palette: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn a palette, (N, 3) of uint16 or of uint8 values, into N grey values."""
    # Some programs write 8-bit values into TIFF's 16-bit colour map.
    eight_bits = palette >> 8 if palette.max(initial=0) > 255 else palette
    return luma(eight_bits.astype(np.uint8))


def apply_table(table: NDArray[np.uint8], indices: NDArray[Any]) -> NDArray[np.uint8]:
    """Look every index up.

    Raises
    ------
    MosaicError
        If an index is beyond the table.
    """
    if indices.max(initial=0) >= len(table):
        raise MosaicError(f"its palette has {len(table)} colours, a pixel wants {indices.max()}")
    return np.asarray(np.take(table, indices), dtype=np.uint8)


def stretch(block: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Stretch samples of fewer than 8 bits to 0..255."""
    largest = 2**bits - 1
    stretched = (block.astype(np.uint16) * 255 + largest // 2) // largest
    return np.asarray(stretched, dtype=np.uint8)


def _plan_dtype(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], Convert]:
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return dtype, lambda block: block.astype(dtype, copy=False)
    if dtype.kind in "ui":
        return np.dtype("float32"), _whole_numbers
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return np.dtype("float32"), _finite
    raise MosaicError(f"samples of dtype {dtype} cannot become grey values")


def _whole_numbers(block: NDArray[Any]) -> NDArray[np.float32]:
    if block.dtype.itemsize > 2 and block.size:
        low, high = int(block.min()), int(block.max())
        if max(-low, high) > _LARGEST_EXACT:
            raise MosaicError(
                f"its {block.dtype} values reach {high if high > -low else low}; "
                "float32, which mosaics hold, is exact to 2**24 only"
            )
    return block.astype(np.float32)


def _finite(block: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = block.astype(np.float32, copy=False)
    n_bad = int(values.size - np.isfinite(values).sum())
    if n_bad:
        raise MosaicError(f"it has pixels that are not finite ({n_bad} in one block)")
    return values


def _chain(steps: list[Convert], block: NDArray[Any]) -> NDArray[Any]:
    for step in steps:
        block = step(block)
    return block
