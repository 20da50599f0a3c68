"""StarDist, for those who have it and a model of theirs: ``stardist:PATH/TO/MODEL_FOLDER``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.given import GivenInstances
from pipelines.segmentation.plug_ins import check_plug_in
from pipelines.segmentation.settings import SegmentationSettings


@dataclass
class StarDist:
    """Asks a StarDist model for instances; the model is loaded when it is first asked."""

    path: Path
    _model: Any = None

    def __call__(self, levels: NDArray[np.float32], settings: SegmentationSettings) -> NDArray[Any]:
        """Find the instances of an image whose levels are scaled already."""
        if self._model is None:
            from stardist.models import StarDist2D

            self._model = StarDist2D(None, name=self.path.name, basedir=str(self.path.parent))
        labels, _ = self._model.predict_instances(levels, show_tile_progress=False)
        found: NDArray[Any] = labels
        return found


def open_method(path: str) -> GivenInstances:
    """Return the method that asks the model in the folder ``path``.

    Raises
    ------
    SettingsError
        If StarDist is not installed, or there is no such folder.
    """
    return GivenInstances(StarDist(check_plug_in("stardist", path, needs_folder=True)))
