"""What is odd at each site and bond of a lattice: matched filters on what its fit leaves over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

Floats = NDArray[np.float32]

#: What is asked of each place. ``site``: is an atom missing, or brighter? ``pair``: both atoms of
#: a bond? ``turn``: was the bond turned by 90 degrees? ``spot``: is there something off the
#: sites? ``blob``: or something wider than an atom?
CHANNELS = ("site", "pair", "turn", "spot", "blob")
#: Widths of atoms that are tried, as shares of the distance of neighbours.
_WIDTHS: tuple[float, ...] = (0.16, 0.2, 0.25, 0.3, 0.36, 0.43)
#: Width where there are no sites, in pixels.
_DEFAULT_SD_PX = 2.0
#: Spots and blobs are looked for at these multiples of an atom's width.
_WIDER = {3: 1.0, 4: 2.5}
_TRUNCATE = 3.5
#: An atom of a lattice stands out by at least this share of the strongest deviation: in a
#: honeycomb of long waves alone holes are twice as deep as atoms are high.
_STRONG = 0.4
#: A site rises above its surroundings by at least this share of what is usual.
_RISE = 0.5
#: Of the spots in a square of this width only the highest counts.
_TOP_PX = 5
#: Edge of the part of a lattice that shows what its atoms look like.
_ENOUGH_PX = 160
#: Sites are wanted in at least so many neighbour distances before bonds are believed.
_FEWEST_SITES = 6


@dataclass(frozen=True)
class Shape:
    """What atoms of an image look like.

    Attributes
    ----------
    sign : int
        1 if they are bright, -1 if they are dark.
    sd_px, spacing_px : float
        Width of an atom, and distance of neighbours; 0 where there is no lattice.
    rise : float
        How far a site rises above its surroundings at least, in grey levels.
    """

    sign: int
    sd_px: float
    spacing_px: float
    rise: float = 0.0


@dataclass(frozen=True)
class Oddities:
    """How odd places are.

    Attributes
    ----------
    positions_yx : (N, 2) ndarray of int
        Pixels.
    channels : (N,) ndarray of int
        Index into `CHANNELS`.
    values : (N,) ndarray
        Matched-filter responses, with the noise's sd or, once standardised, 1 where all is well.
    """

    positions_yx: NDArray[np.int64]
    channels: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Middle and sd of every channel where all is well."""

    centre: NDArray[np.float64]
    sd: NDArray[np.float64]


def learn_shape(perfect: Floats) -> Shape:
    """Learn sign, width and distance of atoms from a perfect lattice (H, W)."""
    # A part shows it all.
    perfect = perfect[:_ENOUGH_PX, :_ENOUGH_PX]
    level = perfect - perfect.mean()
    # A few waves also ripple between sharp atoms: only what is about as strong as they counts.
    strong = _STRONG * float(np.abs(level).max())
    bright, dark = _marked(level, strong), _marked(-level, strong)
    # A honeycomb has two atoms for every hole.
    sign = 1 if len(bright) >= len(dark) else -1
    sites = bright if sign > 0 else dark
    spacing = _spacing(sites)
    if not np.isfinite(spacing):
        return Shape(1, _DEFAULT_SD_PX, 0.0)
    image = np.zeros(perfect.shape, np.float32)
    image[tuple(sites.T)] = 1
    # Where atoms beyond the edge would be missed, the picture does not count.
    edge = min(round(spacing), min(perfect.shape) // 4)
    inner = (slice(edge, perfect.shape[0] - edge), slice(edge, perfect.shape[1] - edge))
    target = _without_light(sign * perfect, spacing)[inner].ravel()

    def likeness(width: float) -> float:
        drawn = _without_light(gaussian_filter(image, width * spacing, truncate=3), spacing)
        drawn = drawn[inner].ravel()
        return float(drawn @ target) / max(float(np.linalg.norm(drawn)), 1e-12)

    width = _WIDTHS[int(np.argmax([likeness(width) for width in _WIDTHS]))]
    rise = _RISE * float(np.median(sign * level[tuple(sites.T)]))
    return Shape(sign, width * spacing, spacing, rise)


def find_oddities(residual: Floats, perfect: Floats, shape: Shape) -> Oddities:
    """Ask every place of an image what is odd there.

    Parameters
    ----------
    residual, perfect : (H, W) ndarray of float32
        What the lattice's fit leaves over, and the fit.
    shape : Shape
        What atoms look like.

    Returns
    -------
    oddities : Oddities
        Not standardised yet.
    """
    matched = match(residual, shape.sd_px)
    groups: list[tuple[int, NDArray[np.int64], NDArray[np.float64]]] = []
    sites = find_sites(perfect, shape)
    if len(sites):
        groups.append((0, sites, matched[tuple(sites.T)].astype(np.float64)))
    pairs = bonds(sites, shape.spacing_px)
    if len(pairs):
        first, second = sites[pairs[:, 0]], sites[pairs[:, 1]]
        together = (matched[tuple(first.T)] + matched[tuple(second.T)]).astype(np.float64)
        middle = _nearest_pixel((first + second) / 2)
        groups.append((1, middle, together))
        kept, turned = _turned(first, second, together, matched)
        groups.append((2, middle[kept], turned))
    for channel, width in _WIDER.items():
        wide = matched if width == 1 else match(residual, width * shape.sd_px)
        tops = _extremes(np.abs(wide), width_px=_TOP_PX)
        groups.append((channel, tops, wide[tuple(tops.T)].astype(np.float64)))
    return Oddities(
        np.concatenate([positions for _, positions, _ in groups]),
        np.repeat([channel for channel, _, _ in groups], [len(p) for _, p, _ in groups]),
        np.concatenate([values for *_, values in groups]),
    )


def learn_noise(residuals: Sequence[Floats], oddities: Sequence[Oddities], shape: Shape) -> Noise:
    """Learn what all channels give where all is well, from pieces of an image together."""
    centre, sd = np.zeros(len(CHANNELS)), np.ones(len(CHANNELS))
    for channel in range(len(CHANNELS)):
        if channel in _WIDER:
            # Tops are chosen for being high; the noise is that of all pixels.
            wide = [match(part, _WIDER[channel] * shape.sd_px).ravel() for part in residuals]
            sd[channel] = max(_sd(np.concatenate(wide)), 1e-12)
            continue
        own = np.concatenate([each.values[each.channels == channel] for each in oddities])
        if len(own) >= _FEWEST_SITES:
            centre[channel], sd[channel] = np.median(own), max(_sd(own), 1e-12)
    return Noise(centre, sd)


def standardise(oddities: Oddities, noise: Noise) -> Oddities:
    """Count how many of the noise's sds every value is away from where all is well."""
    values = np.abs(oddities.values - noise.centre[oddities.channels])
    return replace(oddities, values=values / noise.sd[oddities.channels])


def find_sites(perfect: Floats, shape: Shape) -> NDArray[np.int64]:
    """Return where a perfect lattice has its atoms, (N, 2); none where there is no lattice."""
    if not shape.spacing_px:
        return np.empty((0, 2), np.int64)
    image = shape.sign * perfect
    return _marked(image - gaussian_filter(image, 1.5 * shape.spacing_px, truncate=2), shape.rise)


def match(residual: Floats, sd_px: float) -> Floats:
    """Compare every place with an atom's profile; noise keeps its sd, also at the edge."""
    reach = int(np.ceil(_TRUNCATE * sd_px))
    profile = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sd_px**2)).astype(np.float32)
    matched = convolve1d(residual, profile, axis=0, mode="constant")
    matched = convolve1d(matched, profile, axis=1, mode="constant")
    along = [
        convolve1d(np.ones(size, np.float32), profile**2, mode="constant")
        for size in residual.shape
    ]
    result: Floats = matched / np.sqrt(np.outer(along[0], along[1]))
    return result


def bonds(sites: NDArray[np.int64], spacing_px: float) -> NDArray[np.int64]:
    """Return pairs of sites that are neighbours, (M, 2)."""
    if len(sites) < _FEWEST_SITES or spacing_px <= 0:
        return np.empty((0, 2), np.int64)
    pairs: NDArray[np.int64] = cKDTree(sites).query_pairs(1.3 * spacing_px, output_type="ndarray")
    return pairs.astype(np.int64)


def _turned(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    together: NDArray[np.float64],
    matched: Floats,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Compare what is at the ends of bonds turned by 90 degrees with what is at the bonds' own.

    Returns which bonds have at least one such end in the image, and their values.
    """
    half = (second - first) / 2
    across = np.stack([-half[:, 1], half[:, 0]], axis=1)
    new, n_ends = np.zeros(len(first)), np.zeros(len(first))
    for side in (1, -1):
        end = _nearest_pixel((first + second) / 2 + side * across)
        inside = ((end >= 0) & (end < np.array(matched.shape))).all(axis=1)
        new[inside] += matched[tuple(end[inside].T)]
        n_ends += inside
    kept = n_ends > 0
    # Three terms have less noise than four; at the edge they count as much.
    return kept, (new - together)[kept] * np.sqrt(4 / (2 + n_ends[kept]))


def _marked(level: Floats, rise: float) -> NDArray[np.int64]:
    """Return the maxima that rise above their surroundings, which are at 0."""
    tops = _extremes(level)
    marked: NDArray[np.int64] = tops[level[tuple(tops.T)] > rise]
    return marked


def _nearest_pixel(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round halves up, wherever a window begins; to even, as NumPy does, would depend on that."""
    pixels: NDArray[np.int64] = np.floor(positions + 0.5).astype(np.int64)
    return pixels


def _extremes(image: Floats, *, width_px: int = 3) -> NDArray[np.int64]:
    """Return the pixels that are higher than all around them, in squares of a width."""
    top = (image == maximum_filter(image, width_px, mode="constant", cval=-np.inf)) & (image != 0)
    return np.argwhere(top)


def _spacing(sites: NDArray[np.int64]) -> float:
    """Return the distance of nearest neighbours; nan where there are too few sites."""
    if len(sites) < _FEWEST_SITES:
        return float("nan")
    distance, _ = cKDTree(sites).query(sites, k=2)
    return float(np.median(distance[:, 1]))


def _without_light(image: Floats, spacing_px: float) -> Floats:
    smooth: Floats = image - gaussian_filter(image, 1.5 * spacing_px)
    return smooth


def _sd(values: NDArray[np.floating]) -> float:
    """Return the sd of values most of which are well."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
