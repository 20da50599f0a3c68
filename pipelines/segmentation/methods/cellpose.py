"""Cellpose, for those who have it and a model of theirs: ``cellpose:PATH/TO/MODEL``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.given import GivenInstances
from pipelines.segmentation.plug_ins import check_plug_in
from pipelines.segmentation.settings import SegmentationSettings


@dataclass
class Cellpose:
    """Asks a Cellpose model for instances; the model is loaded when it is first asked."""

    path: Path
    _model: Any = None

    def __call__(self, levels: NDArray[np.float32], settings: SegmentationSettings) -> NDArray[Any]:
        """Find the instances of an image whose levels are scaled already."""
        if self._model is None:
            from cellpose import core, models

            self._model = models.CellposeModel(
                gpu=bool(core.use_gpu()), pretrained_model=str(self.path)
            )
        # Scaled by itself, the noise of an empty block would look like particles.
        masks, *_ = self._model.eval(
            levels, diameter=settings.object_px, channels=[0, 0], normalize=False
        )
        found: NDArray[Any] = masks
        return found


def open_method(path: str) -> GivenInstances:
    """Return the method that asks the model at ``path``.

    Raises
    ------
    SettingsError
        If Cellpose is not installed, or there is no such model.
    """
    # A name instead of a file would make Cellpose download its weights.
    return GivenInstances(Cellpose(check_plug_in("cellpose", path, needs_folder=False)))
