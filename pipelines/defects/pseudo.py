"""Defects that are put into normal patches, for a network to learn what a defect is.

Atoms are taken away, added and made brighter where the fitted lattice has its sites; and pieces of
other patches are blended in along clouds of noise (Perlin's, as in DRAEM; Zavrtanik et al., 2021).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from pipelines.defects.lattice_fit import find_waves, reconstruct
from pipelines.defects.lattice_sites import Shape, bonds, find_sites, learn_shape
from pipelines.defects.patches import Floats, normalise

#: How often each kind is put in; the last share of patches stays normal.
KINDS = {"missing": 0.25, "added": 0.12, "brighter": 0.13, "turned": 0.12, "cloud": 0.13}
_MASK_AT = 0.35


@dataclass(frozen=True)
class Recipe:
    """What atoms of an image look like in its normalised patches, and where they are.

    Attributes
    ----------
    shape : Shape
        Sign, width and distance of atoms.
    height : float
        How high they are.
    sites : list of (M, 2) ndarray
        Of every patch.
    """

    shape: Shape
    height: float
    sites: list[NDArray[np.int64]]


def learn_recipe(pixels: Floats) -> Recipe:
    """Learn what the atoms of one image's patches (N, S, S) look like."""
    patches = normalise(pixels)
    perfect = reconstruct(patches, find_waves(patches[:24]))
    shape = learn_shape(perfect[0])
    heights = [_height(each, shape) for each in perfect[:8]]
    sites = [find_sites(each, shape) for each in perfect]
    return Recipe(shape, float(np.median(heights)), sites)


def insert(
    patch: Floats, other: Floats, recipe: Recipe, index: int, *, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Put one defect into a normalised patch, or none.

    Parameters
    ----------
    patch, other : (S, S) ndarray
        Normalised patches; a cloud takes its content from the other.
    recipe : Recipe
        Of the patch's image.
    index : int
        Of the patch in the recipe.
    rng : numpy.random.Generator
        Chooses.

    Returns
    -------
    changed : (S, S) ndarray
    mask : (S, S) ndarray
        1 where it was changed, 0 elsewhere.
    """
    drawn = rng.random() - np.cumsum(list(KINDS.values()))
    kind = next((name for name, left in zip(KINDS, drawn, strict=True) if left < 0), "none")
    nothing = np.zeros_like(patch)
    if kind == "none":
        return patch, nothing
    sites = recipe.sites[index]
    if kind == "cloud" or not len(sites):
        return _blend_cloud(patch, other, rng)
    change = _change(kind, sites, patch.shape, recipe, rng)
    peak = np.abs(change).max()
    mask = (np.abs(change) > _MASK_AT * peak).astype(np.float32) if peak > 0 else nothing
    return (patch + change).astype(np.float32), mask


def clouds(shape: tuple[int, int], *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw smooth noise of several scales, 0 in the middle of its values."""
    total = np.zeros(shape)
    for octave in (2, 4, 8):
        coarse = rng.standard_normal((octave + 2, octave + 2))
        factors = (shape[0] / (octave + 2), shape[1] / (octave + 2))
        total += zoom(coarse, factors, order=3)[: shape[0], : shape[1]] / octave
    return total - np.median(total)


def _change(
    kind: str, sites: NDArray[np.int64], shape: tuple[int, ...], recipe: Recipe,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """Draw what is added to a patch for a defect at one of its sites."""
    sd, height = recipe.shape.sd_px, recipe.shape.sign * recipe.height
    site = sites[rng.integers(len(sites))].astype(np.float64)
    if kind == "missing":
        return _scaled(-height * rng.uniform(0.8, 1.1), site, sd, shape)
    if kind == "brighter":
        return _scaled(height * rng.uniform(0.3, 1.0), site, sd, shape)
    pairs = bonds(sites, recipe.shape.spacing_px)
    if kind == "added" or not len(pairs):
        place = site + rng.uniform(-0.5, 0.5, 2) * recipe.shape.spacing_px
        return _scaled(height * rng.uniform(0.7, 1.2), place, sd, shape)
    first, second = sites[pairs[rng.integers(len(pairs))]].astype(np.float64)
    middle, half = (first + second) / 2, (second - first) / 2
    across = np.array([-half[1], half[0]])
    old = _atom(first, sd, shape) + _atom(second, sd, shape)
    new = _atom(middle + across, sd, shape) + _atom(middle - across, sd, shape)
    moved: Floats = (height * (new - old)).astype(np.float32)
    return moved


def _scaled(
    height: float, centre: NDArray[np.float64], sd: float, shape: tuple[int, ...]
) -> Floats:
    scaled: Floats = (height * _atom(centre, sd, shape)).astype(np.float32)
    return scaled


def _atom(centre: NDArray[np.float64], sd: float, shape: tuple[int, ...]) -> Floats:
    y, x = np.ogrid[: shape[0], : shape[1]]
    atom: Floats = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * sd**2))
    return atom.astype(np.float32)


def _blend_cloud(patch: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    cloud = clouds((patch.shape[0], patch.shape[1]), rng=rng)
    mask = (cloud > np.quantile(cloud, rng.uniform(0.9, 0.98))).astype(float)
    foreign = np.rot90(other, int(rng.integers(1, 4))) + float(rng.uniform(-1, 1))
    share = rng.uniform(0.5, 1.0) * gaussian_filter(mask, 0.7)
    blended = patch * (1 - share) + foreign * share
    return blended.astype(np.float32), mask.astype(np.float32)


def _height(perfect: Floats, shape: Shape) -> float:
    """Return how high atoms are, by fitting drawn ones to a perfect lattice."""
    sites = find_sites(perfect, shape)
    if not len(sites):
        return 1.0
    image = np.zeros(perfect.shape, np.float32)
    image[tuple(sites.T)] = 2 * np.pi * shape.sd_px**2
    drawn = gaussian_filter(image, shape.sd_px)
    edge = min(round(shape.spacing_px), min(perfect.shape) // 4)
    inner = (slice(edge, -edge or None),) * 2
    x = drawn[inner] - drawn[inner].mean()
    y = shape.sign * (perfect[inner] - perfect[inner].mean())
    return float((x * y).sum() / max((x * x).sum(), 1e-12))
