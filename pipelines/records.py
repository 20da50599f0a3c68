"""Frozen records that stages exchange. Coordinates are (y, x), boxes half open, all in pixels."""

from dataclasses import dataclass
from typing import NamedTuple

#: Bits of a particle id that hold the instance id within its mosaic.
INSTANCE_BITS = 32


class Window(NamedTuple):
    """A half-open rectangle of pixels: rows ``y0:y1``, columns ``x0:x1``."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as an index into an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, margin_px: int, shape: tuple[int, int]) -> "Window":
        """Grow by ``margin_px`` on every side, clipped to an image of ``shape``."""
        return Window(
            max(0, self.y0 - margin_px),
            max(0, self.x0 - margin_px),
            min(shape[0], self.y1 + margin_px),
            min(shape[1], self.x1 + margin_px),
        )


@dataclass(frozen=True)
class Tile:
    """A unit of work: the core that it alone writes, and the window that it reads."""

    index: int
    core: Window
    window: Window

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """Where the core lies inside the array read from the window."""
        y0, x0 = self.core.y0 - self.window.y0, self.core.x0 - self.window.x0
        height, width = self.core.shape
        return slice(y0, y0 + height), slice(x0, x0 + width)
