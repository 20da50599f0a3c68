"""A fitted segmenter as a method like any other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.learned.fields import Floats, Grid
from pipelines.segmentation.learned.heights import SURE_REACH_PX, drop_unsure, field_heights
from pipelines.segmentation.learned.images import Segmenter
from pipelines.segmentation.learned.model_folder import Card, read_model_folder
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.predictor import FieldPredictor
from pipelines.segmentation.learned.together import View, predict_views
from pipelines.segmentation.learned.widths import WIDEST_PX
from pipelines.segmentation.look import Look
from pipelines.segmentation.methods.otsu import Otsu
from pipelines.segmentation.overview import Overview
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey

#: Raised whenever equal weights and settings find other particles than before.
VERSION = 2
#: Squares of the mosaic that the width of its objects is estimated from.
_N_PICTURES = 3


class LearnedMethod(Otsu):
    """Heights from the fields that a network predicts; the threshold is for measurements alone."""

    version = VERSION

    def __init__(self, segmenter: Segmenter, card: Card) -> None:
        self.segmenter = segmenter
        self.card = card

    @classmethod
    def open(cls, folder: Path, device: torch.device | None = None) -> Self:
        """Read a model folder.

        Raises
        ------
        ModelError
            If it cannot be read, or its weights are not those of its card.
        """
        network, card = read_model_folder(folder)
        return cls(Segmenter(FieldPredictor(network, device), card.object_px), card)

    def support_px(self, settings: SegmentationSettings) -> int:
        """Return the reach of a block, at the size that objects have or may have at most."""
        return self._reach_px(settings.object_px or WIDEST_PX)

    def traits(self, overview: Overview) -> Mapping[str, float]:
        """Choose the grey levels, and the width of the typical object, of the whole mosaic."""
        sampled = np.concatenate([part[::2, ::2].reshape(-1) for part in overview.samples])
        levels = Normalisation.of(sampled)
        width_px = overview.settings.object_px
        if width_px is None:
            width_px = self.segmenter.estimate_width_px(_pictures(overview, levels))
        height, width = overview.shape
        return {
            "low": levels.low,
            "high": levels.high,
            "object_px": width_px,
            "height": height,
            "width": width,
        }

    def reach_px(self, survey: Survey, settings: SegmentationSettings) -> int:
        """Return the reach of a block in this mosaic."""
        return self._reach_px(survey.traits["object_px"])

    def heights(
        self, image: NDArray[Any], window: Window, survey: Survey, settings: SegmentationSettings
    ) -> NDArray[np.uint16]:
        """Return depths inside what is foreground, from the blocks that the window holds."""
        (heights,) = self.heights_of_all([Look(image, window, survey)], settings)
        return heights

    def heights_of_all(
        self, looks: Sequence[Look], settings: SegmentationSettings
    ) -> Iterator[NDArray[np.uint16]]:
        """Return the heights of several windows, whose blocks go through the network together."""
        predict = self.segmenter.predict
        canvases = predict_views(
            [self._view(look) for look in looks], predict, batch_n_blocks=predict.batch_n_blocks
        )
        for look, canvas in zip(looks, canvases, strict=True):
            if canvas is None:
                yield np.zeros(look.image.shape, dtype=np.uint16)
                continue
            sure = replace(canvas, fields=drop_unsure(canvas.fields))
            foreground, depth = sure.over(look.window)[:2]
            yield field_heights(foreground, depth)

    def _view(self, look: Look) -> View:
        traits = look.survey.traits
        # The window may reach to any block, but a block belongs to the mosaic's own grid.
        grid = self._grid(_mosaic_shape(look.survey), traits["object_px"])
        levels = Normalisation(traits["low"], traits["high"])
        return View(look.image, look.window, grid, levels)

    def _reach_px(self, width_px: float) -> int:
        # A pixel's region needs one ring of pixels around it.
        return self._grid((1, 1), width_px).reach_px(SURE_REACH_PX) + 1

    def _grid(self, shape: tuple[int, int], width_px: float) -> Grid:
        return Grid(shape, self.segmenter.object_px / width_px)


def _pictures(overview: Overview, levels: Normalisation) -> list[Floats]:
    """Return what widths are estimated from: the mosaic, if it is small, else its richest squares.

    Neither many squares nor flat ones say more.
    """
    samples = sorted(overview.samples, key=lambda part: float(part.std()), reverse=True)
    return [levels.apply(part) for part in samples[:_N_PICTURES]]


def _mosaic_shape(survey: Survey) -> tuple[int, int]:
    return int(survey.traits["height"]), int(survey.traits["width"])
