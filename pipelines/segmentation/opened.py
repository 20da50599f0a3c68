"""Mosaics that an actor has open, each with its survey, which is made once for all actors."""

from dataclasses import dataclass, field

from pipelines.mosaic.ome_zarr import Mosaic, open_mosaic
from pipelines.places import place
from pipelines.records import Window
from pipelines.segmentation.method import Method, Surveyor, traits_of
from pipelines.segmentation.scratch import Scratch
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey, survey_mosaic

#: Mosaics that an actor keeps open, with their surveys.
MAX_OPEN = 8


@dataclass
class OpenMosaics:
    """Opens mosaics and surveys them.

    Attributes
    ----------
    method : Method
        The method.
    settings : SegmentationSettings
        What the user wants.
    """

    method: Method
    settings: SegmentationSettings
    _open: dict[str, tuple[Mosaic, Survey]] = field(default_factory=dict)

    def look(self, mosaic_path: str, scratch: Scratch, *, keep: bool) -> tuple[Mosaic, Survey]:
        """Open a mosaic and survey it, unless somebody did already.

        Parameters
        ----------
        mosaic_path : str
            The mosaic.
        scratch : Scratch
            Where its survey lies.
        keep : bool
            Whether others will want the survey.
        """
        if mosaic_path not in self._open:
            mosaic = open_mosaic(place(mosaic_path))
            survey = scratch.read_survey()
            if survey is None:
                survey = survey_mosaic(
                    mosaic, self.method.lifts, self.settings, traits_of(self.method)
                )
                if keep:
                    scratch.write_survey(survey)
            while len(self._open) >= MAX_OPEN:
                del self._open[next(iter(self._open))]
            self._open[mosaic_path] = mosaic, survey
        return self._open[mosaic_path]

    def window(self, core: Window, mosaic: Mosaic, survey: Survey, halo_px: int) -> Window:
        """Return what to read for a core: the halo is for any mosaic, this one may need less."""
        if isinstance(self.method, Surveyor):
            halo_px = min(halo_px, self.method.reach_px(survey, self.settings))
        return core.grown(halo_px, mosaic.info.shape)
