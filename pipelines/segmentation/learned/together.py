"""Blocks of many windows, also of several mosaics, through the network in full batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.learned.fields import Block, Canvas, Floats, Grid, Predict, collect
from pipelines.segmentation.learned.normalisation import Normalisation


@dataclass(frozen=True)
class View:
    """A window to be predicted: its grey values, its place, the mosaic's blocks and levels."""

    image: NDArray[Any]
    window: Window
    grid: Grid
    levels: Normalisation


def predict_views(
    views: Sequence[View], predict: Predict, *, batch_n_blocks: int
) -> Iterator[Canvas | None]:
    """Predict the fields of all blocks that lie in some windows, each window as if it were alone.

    Parameters
    ----------
    views : sequence of View
        The windows, whose blocks all have one size.
    predict : callable
        The network, on ``batch_n_blocks`` blocks at a time; the last batch is filled up with
        nothing.
    batch_n_blocks : int
        Blocks at a time, of one window or of several.

    Yields
    ------
    canvas : Canvas or None
        For each window in turn; see `fields.predict_window`.
    """
    blocks = [view.grid.blocks_within(view.window) for view in views]
    fields = _fields(views, blocks, predict, batch_n_blocks)
    for view, own in zip(views, blocks, strict=True):
        # In raster order, as whoever looks at one window alone adds them up.
        yield collect(view.grid, ((block, next(fields)) for block in own))


def _fields(
    views: Sequence[View],
    blocks: Sequence[Sequence[Block]],
    predict: Predict,
    batch_n_blocks: int,
) -> Iterator[Floats]:
    """Yield the fields of every block of every window, predicted in batches across windows."""
    waiting: list[Floats] = []
    for view, own in zip(views, blocks, strict=True):
        for block in own:
            waiting.append(view.grid.cut(view.image, view.window, block, view.levels))
            if len(waiting) == batch_n_blocks:
                yield from predict(np.stack(waiting))
                waiting = []
    if waiting:
        batch = np.zeros((batch_n_blocks, *waiting[0].shape), dtype=np.float32)
        batch[: len(waiting)] = waiting
        yield from predict(batch)[: len(waiting)]
