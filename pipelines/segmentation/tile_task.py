"""One tile as it travels between driver and actors: what is to be done, and what became of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window

_UNIT = re.compile(r"y(\d+)-(\d+)_x(\d+)-(\d+)")
#: How the ledger calls this stage, and a mosaic as a whole rather than a tile of it.
STAGE = "segment"
WHOLE = "mosaic"
MAX_ATTEMPTS = 3
DONE, FAILED, FULL, EARLY = "done", "failed", "full", "early"


@dataclass(frozen=True)
class TileTask:
    """One tile to be segmented.

    Attributes
    ----------
    mosaic_path, scratch : str
        The mosaic, and the folder of its work in progress.
    segmentation : str
        Digest of all that decides the mosaic's instances.
    y0, x0, y1, x1 : int
        The core.
    alone : bool
        Whether it is the mosaic's only tile, which is then finished at once.
    """

    mosaic_path: str
    scratch: str
    segmentation: str
    y0: int
    x0: int
    y1: int
    x1: int
    alone: bool

    @property
    def core(self) -> Window:
        """The core."""
        return Window(self.y0, self.x0, self.y1, self.x1)

    @property
    def unit(self) -> str:
        """The tile's name within its mosaic."""
        return f"y{self.y0}-{self.y1}_x{self.x0}-{self.x1}"

    def to_row(self) -> dict[str, Any]:
        """Return the task as a row of a Ray dataset."""
        # Not with `asdict`, which copies deeply: a driver has millions of tiles.
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make the task of a row."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


def core_of(unit: str) -> Window | None:
    """Return the core of the tile of this name; None if it is the name of no tile.

    Examples
    --------
    >>> core_of("y0-512_x1024-1536")
    Window(y0=0, x0=1024, y1=512, x1=1536)
    """
    found = _UNIT.fullmatch(unit)
    if found is None:
        return None
    y0, y1, x0, x1 = map(int, found.groups())
    return Window(y0, x0, y1, x1)


@dataclass(frozen=True)
class TileResult:
    """What became of a tile.

    Attributes
    ----------
    status : str
        ``DONE``, ``FAILED``, ``FULL`` or ``EARLY``.
    digest : str
        Of its parts, or of the whole mosaic's instances if it is the only tile.
    attempts : int
        How often it was tried.
    seconds : float
        How long it took.
    reason : str
        Why it failed.
    solution : bytes
        The mosaic's particles, if it is the only tile.
    n_bytes : int
        Size of the core's pixels as the mosaic has them, uncompressed.
    worker : str
        Host and process that worked on it.
    """

    status: str
    digest: str = ""
    attempts: int = 1
    seconds: float = 0.0
    reason: str = ""
    solution: bytes = b""
    n_bytes: int = 0
    worker: str = ""


@dataclass(frozen=True)
class EndedTile:
    """A tile that was segmented or given up, for those who watch a run."""

    mosaic: str
    unit: str
    result: TileResult


@dataclass(frozen=True)
class FoundHeights:
    """The heights of a tile, or why there are none, on their way from one actor to another.

    Attributes
    ----------
    status : str
        ``DONE``; ``FAILED`` or ``FULL`` where there are none.
    heights : bytes
        (h, w) uint16, row by row, over the core and one pixel around it within the mosaic.
    attempts : int
        How often it was tried.
    seconds : float
        How long it took.
    reason : str
        Why there are none.
    """

    status: str = DONE
    heights: bytes = b""
    attempts: int = 1
    seconds: float = 0.0
    reason: str = ""

    def array(self, window: Window) -> NDArray[np.uint16]:
        """Return the heights as those of a window."""
        return np.frombuffer(self.heights, dtype=np.uint16).reshape(window.shape)
