"""Whole images in memory through a segmenter: what a mosaic's tiles do, in one piece."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.records import Window
from pipelines.segmentation.learned.fields import Floats, Grid, predict_window
from pipelines.segmentation.learned.heights import drop_unsure, field_heights, instances_of
from pipelines.segmentation.learned.model_folder import read_model_folder
from pipelines.segmentation.learned.normalisation import Normalisation
from pipelines.segmentation.learned.predictor import FieldPredictor
from pipelines.segmentation.learned.telling_parts import telling_parts
from pipelines.segmentation.learned.widths import (
    Trial,
    choose_width_px,
    refine_width_px,
    trial_widths_px,
)
from pipelines.segmentation.masks import UNITS_PER_PX
from pipelines.segmentation.persistence import SplitRule

#: As `SegmentationSettings` has it by default.
_RULE = SplitRule(1.0 * UNITS_PER_PX, 0.1)
#: Objects narrower than this share of the typical one are debris.
_LEAST_WIDTH_SHARE = 0.2


@dataclass(frozen=True)
class Segmenter:
    """A network and the width at which it wants to see the typical object."""

    predict: FieldPredictor
    object_px: float
    rule: SplitRule = _RULE

    @classmethod
    def open(cls, folder: Path, device: torch.device | None = None) -> Self:
        """Read a model folder."""
        network, card = read_model_folder(folder)
        return cls(FieldPredictor(network, device), card.object_px)

    def segment(self, image: NDArray[Any], *, width_px: float | None = None) -> NDArray[np.int32]:
        """Find the objects of an image.

        Parameters
        ----------
        image : (H, W) array
            Grey values of any depth.
        width_px : float, optional
            Width of the typical object; estimated by default.
        """
        grey = Normalisation.of(image).apply(image)
        if width_px is None:
            width_px = self.estimate_width_px([grey])
        return self.look(grey, width_px)[1]

    def look(self, grey: Floats, width_px: float) -> tuple[Floats, NDArray[np.int32]]:
        """Return probability of foreground, and objects, of an image of normalised grey levels."""
        return self._objects(self.fields(grey, width_px), width_px)

    def _objects(self, fields: Floats, width_px: float) -> tuple[Floats, NDArray[np.int32]]:
        foreground, depth = fields[:2]
        least = np.pi / 4 * (_LEAST_WIDTH_SHARE * width_px) ** 2
        heights = field_heights(foreground, depth)
        return foreground, instances_of(heights, self.rule, least_area_px=least)

    def estimate_width_px(self, images: Sequence[Floats]) -> float:
        """Estimate the width of the typical object from images of normalised grey levels.

        Objects are looked for at many widths; see `widths.choose_width_px`.
        """
        trials = [self.try_width(images, width) for width in trial_widths_px()]
        chosen = choose_width_px(trials)
        return refine_width_px(chosen, self.try_width(images, chosen))

    def try_width(self, images: Sequence[Floats], width_px: float) -> Trial:
        """Look for objects of one width, where images tell most of it."""
        areas: list[NDArray[Any]] = [np.empty(0)]
        peaks: list[NDArray[Any]] = [np.empty(0)]
        for part in (part for image in images for part in telling_parts(image, width_px)):
            fields = self.fields(part, width_px)
            _, objects = self._objects(fields, width_px)
            area = np.bincount(objects.reshape(-1))[1:]
            areas.append(area)
            peak = np.zeros(len(area) + 1)
            np.maximum.at(peak, objects.reshape(-1), fields[1].reshape(-1))
            peaks.append(peak[1:])
        return Trial.of(width_px, np.concatenate(areas), np.concatenate(peaks))

    def fields(self, grey: Floats, width_px: float) -> Floats:
        """Return the fields (C, H, W) of an image of normalised grey levels."""
        height, width = grey.shape
        whole = Window(0, 0, height, width)
        grid = Grid((height, width), self.object_px / width_px)
        as_it_is = Normalisation(-1.0, 1.0)
        n_blocks = self.predict.batch_n_blocks
        canvas = predict_window(grey, whole, grid, as_it_is, self.predict, batch_n_blocks=n_blocks)
        assert canvas is not None, "a whole image holds all its blocks"
        return replace(canvas, fields=drop_unsure(canvas.fields)).over(whole)
