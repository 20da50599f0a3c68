"""Fourier residual: take the Bragg peaks out of the spectrum, and see what is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, ifft2, next_fast_len
from scipy.ndimage import gaussian_filter

from pipelines.defects.lattice_fit import Floats, Waves, find_waves
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Patches, assemble
from pipelines.defects.windows import pool
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

    Near an edge bands of the spectrum are less sharp, which leaves some of the lattice there.
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
            own = patches.take(rows)
            image = assemble(own)
            if image is None:
                survey = self.survey(model, own.pixels)
                odd = np.stack([_oddness(each, survey) for each in own.pixels])
                scores[rows] = np.quantile(odd.reshape(len(odd), -1), self.quantile, axis=1)
            else:
                oddness = _oddness(image, self.survey(model, image[None]))
                origins = own.origins_yx - own.origins_yx.min(axis=0)
                scores[rows] = pool(oddness, origins, own.edge_px, self.quantile)
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
    """Take uneven light and waves out of an image, and smooth what is left.

    Each is a narrow band of the spectrum. The image is padded with nothing, and near its edge a
    band is divided by the share of its kernel that lies inside.
    """
    padded = tuple(next_fast_len(size + round(NOTCH_OF_PX)) for size in image.shape)
    fy, fx = np.fft.fftfreq(padded[0])[:, None], np.fft.fftfreq(padded[1])[None, :]

    def band(spectrum: NDArray[np.complex128], y: float, x: float) -> NDArray[np.float64]:
        passed = np.exp(-((fy - y) ** 2 + (fx - x) ** 2) * (NOTCH_OF_PX**2 / 2))
        cut_out: NDArray[np.float64] = ifft2(spectrum * passed).real
        return cut_out[: image.shape[0], : image.shape[1]]

    inside = band(fft2(np.ones(image.shape), s=padded), 0.0, 0.0)
    left = image - band(fft2(image.astype(np.float64), s=padded), 0.0, 0.0) / inside
    spectrum = fft2(left, s=padded)
    for y, x in waves.frequencies_yx:
        # The opposite frequency has the same real part.
        left = left - 2 * band(spectrum, y, x) / inside
    smooth: Floats = gaussian_filter(left, SMOOTH_PX).astype(np.float32)
    return smooth


DETECTOR = FourierResidual()
