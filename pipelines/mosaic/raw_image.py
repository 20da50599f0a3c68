"""An image as its file has it: what every reader returns, before colour and orientation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import MosaicError
from pipelines.mosaic.pixel_size import PixelSize
from pipelines.records import Window

#: What must be decoded at once may take this much; a larger strip, chunk or picture is refused.
LARGEST_PIECE_BYTES = 2 << 30
#: No mosaic is wider or higher.
LARGEST_EDGE_PX = 2**24
#: Deflate packs at best 1032 to 1, LZW about 1400, PackBits 64.
BEST_RATIO = 2048
#: Zstandard, LZMA, JPEG 2000 and fax codes make nearly nothing of an empty picture.
BEST_MODERN_RATIO = 200_000


@dataclass(frozen=True)
class RawImage:
    """One plane of a file, with axes (y, x) as stored.

    ``read`` returns (H, W) for ``grey`` and ``palette``, (H, W, 3) for ``rgb``. ``piece`` is the
    height and width that the file decodes at once. ``bits`` is set where samples are packed into
    fewer bits than their dtype has; ``inverted`` where zero means white.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    read: Callable[[Window], NDArray[Any]]
    format: str
    colour: Literal["grey", "rgb", "palette"] = "grey"
    piece: tuple[int, int] = (1, 1)
    piece_bytes: int = 0
    orientation: int = 1
    inverted: bool = False
    bits: int | None = None
    palette: NDArray[Any] | None = None
    pixel_size: PixelSize | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one decoded pixel, all its samples."""
        return self.dtype.itemsize * (3 if self.colour == "rgb" else 1)


def check_shape(height: Any, width: Any) -> tuple[int, int]:
    """Refuse edges that no mosaic has.

    Raises
    ------
    MosaicError
        If an edge is not a whole number from 1 to `LARGEST_EDGE_PX`.
    """
    for name, value in (("height", height), ("width", width)):
        if not isinstance(value, int | np.integer) or not 1 <= value <= LARGEST_EDGE_PX:
            raise MosaicError(
                f"its {name} must be 1 to {LARGEST_EDGE_PX} pixels, got {_short(value)}"
            )
    return int(height), int(width)


def check_piece(piece_bytes: int, what: str) -> int:
    """Refuse a piece that cannot be decoded in bounded memory."""
    if piece_bytes > LARGEST_PIECE_BYTES:
        raise MosaicError(
            f"a {what} of {piece_bytes / 2**30:.3g} GiB must be decoded at once; "
            f"at most {LARGEST_PIECE_BYTES / 2**30:.3g} GiB may be"
        )
    return piece_bytes


def check_ratio(n_decoded_bytes: int, n_stored_bytes: int, best: int = BEST_RATIO) -> None:
    """Refuse a file that claims more pixels than its bytes can hold at the codec's best."""
    if n_decoded_bytes > best * (n_stored_bytes + 64):
        raise MosaicError(
            f"it claims {n_decoded_bytes} bytes of pixels, but stores only {n_stored_bytes}"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
