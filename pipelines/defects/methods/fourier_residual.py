"""Fourier residual: take the Bragg peaks out of the spectrum, and see what is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipelines.defects.lattice_fit import Floats, Waves, find_waves
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Patches
from pipelines.records import Window

#: Width of the residual's smoothing, in pixels.
SMOOTH_PX = 2.0
#: A peak's notch is as wide as that of a window of so many pixels.
NOTCH_OF_PX = 96.0
_PIECES_N = 24


@dataclass(frozen=True)
class FourierSurvey:
    """What belongs to one image: its waves, and what is left where all is well."""

    waves: Waves
    centre: float
    sd: float


@dataclass(frozen=True)
class FourierResidual:
    """Energy that is left without the lattice's peaks; no training.

    A window's edges wrap around in the transform, which leaves false residuals there.
    """

    name: str = "fourier"
    summary: str = "what is left of the image without its Bragg peaks; needs no training"
    diet: Diet = "clean"
    quantile: float = 0.995

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn nothing."""
        return DefectModel(self.name, patches.edge_px)

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return a high quantile of each patch's smoothed residual."""
        scores = np.empty(len(patches))
        for name in np.unique(patches.images):
            rows = np.flatnonzero(patches.images == name)
            survey = self.survey(model, patches.pixels[rows])
            for row in rows:
                oddness = _oddness(patches.pixels[row], survey)
                scores[row] = np.quantile(oddness, self.quantile)
        return scores

    def survey(self, model: DefectModel, pieces: Floats) -> FourierSurvey:
        """Find the image's waves."""
        chosen = pieces[np.unique(np.linspace(0, len(pieces) - 1, _PIECES_N).round().astype(int))]
        waves = find_waves(chosen)
        left = np.stack([_residual(piece, waves) for piece in chosen])
        return FourierSurvey(waves, float(np.median(left)), float(max(left.std(), 1e-12)))

    def score_map(
        self,
        model: DefectModel,
        survey: FourierSurvey,
        image: Floats,
        window: Window,
        shape: tuple[int, int],
    ) -> Floats:
        """Return the smoothed residual, in its own sds."""
        return _oddness(image, survey)

    def halo_px(self, survey: FourierSurvey) -> int:
        """Return a notch's reach: beyond it the wrapped edge is forgotten."""
        return int(NOTCH_OF_PX)


def _oddness(image: Floats, survey: FourierSurvey) -> Floats:
    odd: Floats = np.abs(_residual(image, survey.waves) - survey.centre) / survey.sd
    return odd.astype(np.float32)


def _residual(image: Floats, waves: Waves) -> Floats:
    """Take peaks and uneven light out of an image, and smooth what is left."""
    fy = np.fft.fftfreq(image.shape[0])[:, None]
    fx = np.fft.rfftfreq(image.shape[1])[None, :]
    keep = np.ones((image.shape[0], image.shape[1] // 2 + 1))
    for y, x in [(0.0, 0.0), *waves.frequencies_yx, *-waves.frequencies_yx]:
        keep *= 1 - np.exp(-((fy - y) ** 2 + (fx - x) ** 2) * (NOTCH_OF_PX**2 / 2))
    left = np.fft.irfft2(np.fft.rfft2(image) * keep, s=image.shape)
    smooth: Floats = gaussian_filter(left, SMOOTH_PX).astype(np.float32)
    return smooth


DETECTOR = FourierResidual()
