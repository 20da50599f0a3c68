"""The scaled crops of chosen particles, whichever mosaics they lie in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.mosaic.crops import CropSpec, group_by_block, read_crops, scale_crops
from pipelines.mosaic.ome_zarr import open_mosaic

Rows = NDArray[np.int64]


class CropSource(Protocol):
    """Where crops come from: rows are numbered 0 to ``len(source) - 1``."""

    def __len__(self) -> int: ...

    @property
    def size_px(self) -> int:
        """Edge of a crop."""

    def blocks(self, rows: Rows) -> list[Rows]:
        """Group rows so that those of a group are cheap to read together."""

    def read(self, rows: Rows) -> NDArray[np.float16]:
        """Read the crops of ``rows`` as (n, S, S), scaled."""


@dataclass(frozen=True)
class MosaicCrops:
    """Particles of some mosaics, cut when asked for.

    Holds paths and numbers only, so it travels to another process; arrays are opened there.

    Attributes
    ----------
    paths : sequence of Path
        The mosaics.
    fields_px : sequence of float
        Edge of the field of view in every mosaic, in its pixels of level 0.
    mosaic_index : (N,) ndarray of int
        Which mosaic every particle lies in.
    centres_yx : (N, 2) ndarray
        Centres, in pixels of level 0.
    orientations_rad : (N,) ndarray
        Angles of the major axes, as `pipelines.mosaic.crops` takes them.
    spec : CropSpec
        How to cut.
    """

    paths: Sequence[Path]
    fields_px: Sequence[float]
    mosaic_index: NDArray[np.int64]
    centres_yx: NDArray[np.float64]
    orientations_rad: NDArray[np.float64]
    spec: CropSpec

    def __post_init__(self) -> None:
        lengths = len(self.mosaic_index), len(self.centres_yx), len(self.orientations_rad)
        if len(set(lengths)) > 1:
            raise ValueError(
                "mosaic_index, centres_yx and orientations_rad must have one length, "
                f"got {lengths[0]}, {lengths[1]} and {lengths[2]}"
            )

    def __len__(self) -> int:
        return len(self.mosaic_index)

    @property
    def size_px(self) -> int:
        """Edge of a crop, in its own pixels."""
        return self.spec.size_px

    def blocks(self, rows: Rows) -> list[Rows]:
        """Group rows by the block of the mosaic that they lie in."""
        return [
            rows[places][group]
            for _, places in self._by_mosaic(rows)
            for group in group_by_block(self.centres_yx[rows[places]])
        ]

    def read(self, rows: Rows) -> NDArray[np.float16]:
        """Read the crops of ``rows``, scaled, as (n, S, S).

        Half precision: its 11 bits hold more than the grey values of a crop's range need, and
        twice as many crops stay in memory.
        """
        crops = np.empty((len(rows), self.size_px, self.size_px), dtype=np.float16)
        for index, places in self._by_mosaic(rows):
            chosen = rows[places]
            crops[places] = scale_crops(
                read_crops(
                    open_mosaic(self.paths[index]),
                    self.centres_yx[chosen],
                    self.orientations_rad[chosen],
                    self.spec,
                    field_px=self.fields_px[index],
                )
            )
        return crops

    def _by_mosaic(self, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """Yield each mosaic that occurs, with the places in ``rows`` of its particles."""
        indices = self.mosaic_index[rows]
        for index in np.unique(indices):
            yield int(index), np.flatnonzero(indices == index)


@dataclass(frozen=True)
class CropsInMemory:
    """Crops that are there already."""

    crops: NDArray[Any] = field(repr=False)

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def size_px(self) -> int:
        """Edge of a crop."""
        return int(self.crops.shape[-1])

    def blocks(self, rows: Rows) -> list[Rows]:
        """Give all rows as one group."""
        return [rows] if len(rows) else []

    def read(self, rows: Rows) -> NDArray[np.float16]:
        """Pick crops."""
        return np.asarray(self.crops[rows], dtype=np.float16)
