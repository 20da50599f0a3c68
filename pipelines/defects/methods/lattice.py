"""A lattice's own sites: fit the perfect lattice, then ask every site and bond what is odd.

Needs no training: spacing, angle, contrast and noise come from the image itself. Normal patches
only say how the kinds of oddity compare, so that one threshold serves all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pipelines.defects.lattice_fit import Floats, Waves, find_waves, reconstruct
from pipelines.defects.lattice_sites import (
    CHANNELS,
    Noise,
    Oddities,
    Shape,
    find_oddities,
    learn_noise,
    learn_shape,
    standardise,
)
from pipelines.defects.model import DefectModel, Diet, Watch
from pipelines.defects.patches import Patches, assemble, cut, plan_grid
from pipelines.records import Window

#: How the false alarms are shared among `CHANNELS`. Sites get most: a missing atom shows in one
#: site alone, what changes a bond or more is easier to see.
SHARES = (0.55, 0.15, 0.15, 0.05, 0.1)
#: The rate of false alarms, per patch, at which the channels are made equal.
FALSE_ALARM_RATE = 0.01
#: What a score is where there is no site, bond or spot.
NOWHERE = -10.0
#: A guess from theory counts as much as so many normal patches.
_PRIOR_N = 200
#: Pieces that are enough to learn an image's waves and noise from.
_PIECES_N, _PIECE_PX = 24, 256


@dataclass(frozen=True)
class LatticeSurvey:
    """What belongs to one image."""

    waves: Waves
    shape: Shape
    noise: Noise


@dataclass(frozen=True)
class LatticeSites:
    """Matched filters at the sites and bonds of the fitted lattice."""

    name: str = "lattice"
    summary: str = "fits the lattice, then asks every site and bond; needs no training"
    diet: Diet = "clean"
    #: A patch is as odd as its oddest place.
    quantile: float = 1.0

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn how high each channel rises in normal patches."""
        tops: list[NDArray[np.float64]] = []
        spacing = 0.0
        for rows in _by_image(patches):
            pixels = patches.pixels[rows]
            survey = survey_image(pixels)
            spacing = max(spacing, survey.shape.spacing_px)
            tops += [_tops(each) for each in _odd(survey, pixels)]
        level, slope = _calibrate(np.array(tops), patches.edge_px, spacing)
        return DefectModel(self.name, patches.edge_px, {"level": level, "slope": slope})

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return the oddest place of each patch, above the level of normal patches.

        Patches that cover an image together are put together first, so that what lies on their
        borders is seen whole.
        """
        scores = np.full(len(patches), NOWHERE)
        for rows in _by_image(patches):
            own = patches.take(rows)
            image = assemble(own)
            if image is None:
                survey = survey_image(own.pixels)
                found = [_combine(model, each) for each in _odd(survey, own.pixels)]
                scores[rows] = [each.max(initial=NOWHERE) for each in found]
            else:
                survey = survey_image(_pieces(image))
                whole = Window(0, 0, *image.shape)
                oddness = self.score_map(model, survey, image, whole, whole.shape)
                origins = own.origins_yx - own.origins_yx.min(axis=0)
                scores[rows] = cut(oddness, origins, own.edge_px).max(axis=(1, 2))
        return scores

    def survey(self, model: DefectModel, pieces: Floats) -> LatticeSurvey:
        """Learn waves, atoms and noise from pieces of an image."""
        return survey_image(pieces)

    def score_map(
        self,
        model: DefectModel,
        survey: LatticeSurvey,
        image: Floats,
        window: Window,
        shape: tuple[int, int],
    ) -> Floats:
        """Return scores at sites, bonds and spots; `NOWHERE` between them."""
        perfect = reconstruct(
            image[None], survey.waves, origin_yx=(window.y0, window.x0), shape=shape
        )[0]
        found = find_oddities(image - perfect, perfect, survey.shape)
        found = standardise(found, survey.noise)
        scores = np.full(image.shape, NOWHERE, np.float32)
        np.maximum.at(scores, tuple(found.positions_yx.T), _combine(model, found))
        return scores

    def halo_px(self, survey: LatticeSurvey) -> int:
        """Return the width of a block and of the widest filter."""
        shape = survey.shape
        return survey.waves.block_px + int(np.ceil(10 * shape.sd_px + 4 * shape.spacing_px)) + 8


def survey_image(pieces: Floats) -> LatticeSurvey:
    """Learn from pieces (N, h, w) of one image what its lattice is like."""
    chosen = pieces[np.unique(np.linspace(0, len(pieces) - 1, _PIECES_N).round().astype(int))]
    waves = find_waves(chosen)
    perfect = reconstruct(chosen, waves)
    shape = learn_shape(perfect[int(np.argmax(perfect.std(axis=(1, 2))))])
    residuals = chosen - perfect
    found = [find_oddities(r, p, shape) for r, p in zip(residuals, perfect, strict=True)]
    return LatticeSurvey(waves, shape, learn_noise(list(residuals), found, shape))


def _pieces(image: Floats) -> Floats:
    """Cut an image into pieces that show more of the lattice than a patch does."""
    edge = min(_PIECE_PX, *image.shape)
    return cut(
        image, plan_grid((image.shape[0], image.shape[1]), patch_px=edge, stride_px=edge), edge
    )


def _by_image(patches: Patches) -> list[NDArray[np.int64]]:
    """Return the rows of every image."""
    return [np.flatnonzero(patches.images == name) for name in np.unique(patches.images)]


def _odd(survey: LatticeSurvey, images: Floats) -> list[Oddities]:
    perfect = reconstruct(images, survey.waves)
    found = (
        find_oddities(image - fit, fit, survey.shape)
        for image, fit in zip(images, perfect, strict=True)
    )
    return [standardise(each, survey.noise) for each in found]


def _tops(found: Oddities) -> NDArray[np.float64]:
    """Return the highest value of each channel."""
    tops = np.zeros(len(CHANNELS))
    np.maximum.at(tops, found.channels, found.values)
    return tops


def _combine(model: DefectModel, found: Oddities) -> NDArray[np.float64]:
    """Bring the channels to one scale: 0 is the level of rare normal patches."""
    level, slope = model.arrays["level"], model.arrays["slope"]
    values: NDArray[np.float64] = (found.values - level[found.channels]) / slope[found.channels]
    return values


def _calibrate(
    tops: NDArray[np.float64], edge_px: int, spacing_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find, per channel, the level of rare normal patches, and how fast they get rarer above.

    Maxima of noise follow Gumbel's law, whose tail is read from the median and the upper tenth.
    """
    rates = FALSE_ALARM_RATE * np.array(SHARES)
    area_px2 = 1.3 * max(spacing_px, 4.0) ** 2
    n_places = edge_px**2 / area_px2 * np.array([1.0, 1.5, 1.5, 4.0, 1.0])
    level = norm.isf(np.minimum(rates / (2 * n_places), 0.5))
    slope = 1 / np.maximum(level, 1.0)
    if len(tops) >= 10:
        median, high = np.quantile(tops, [0.5, 0.9], axis=0)
        seen_slope = np.maximum((high - median) / (_gumbel(0.9) - _gumbel(0.5)), 0.05)
        seen_level = median + seen_slope * (
            np.array([_gumbel(1 - r) for r in rates]) - _gumbel(0.5)
        )
        weight = len(tops) / (len(tops) + _PRIOR_N)
        level = weight * seen_level + (1 - weight) * level
        slope = weight * seen_slope + (1 - weight) * slope
    return level, slope


def _gumbel(share: float) -> float:
    """Return the quantile of Gumbel's standard law."""
    return float(-np.log(-np.log(share)))


DETECTOR = LatticeSites()
