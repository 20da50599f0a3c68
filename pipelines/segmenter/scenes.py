"""Made-up scenes of particles and cells of many kinds: every object known, for nothing.

They are not meant to look like any one sample. What varies is what makes outlines hard to find:
shape, spread of sizes, touching and overlap, shading, what lies behind, noise, and writing over
the image.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import generator
from pipelines.segmenter.shading import draw_background, draw_look, finish_image, shade_object
from pipelines.segmenter.supports import draw_dimness

#: Corners of an outline.
_N_CORNERS = 48
#: An object of which less is seen cannot be asked for.
_LEAST_SEEN = 0.3

Floats = NDArray[np.float32]
Outline = Callable[[np.random.Generator], NDArray[np.float64]]


@dataclass(frozen=True)
class Scene:
    """A made-up image.

    Attributes
    ----------
    image : (H, W) array of uint8
        Grey levels.
    instances : (H, W) int32 array
        Its objects, in the order they were laid down.
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.int32]


def draw_scene(seed: int, number: int, *, edge_px: int = 320, on_support: bool = False) -> Scene:
    """Draw one scene; the same for the same seed and number.

    Parameters
    ----------
    seed, number : int
        Which.
    edge_px : int
        Edge of the square image.
    on_support : bool
        Whether objects are dim and lie on something thick and uneven, as particles on a
        catalyst's support do, often few or on one side of the image.
    """
    rng = generator(seed, "scene", number)
    width_px = float(math.exp(rng.uniform(math.log(18), math.log(52))))
    outline = _FAMILIES[int(rng.integers(len(_FAMILIES)))](rng)
    spread = float(rng.choice([0.03, 0.06, 0.12, 0.25, 0.4]))
    look = draw_look(rng, width_px)
    if on_support:
        dim = draw_dimness(math.copysign(1.0, look.contrast), rng)
        look = replace(look, opaque=False, hollow=0.0, fog=0.0, **asdict(dim))
    image = draw_background(edge_px, width_px, look, rng)
    instances = np.zeros((edge_px, edge_px), dtype=np.int32)
    areas = [0]
    centres = _centres(edge_px, width_px, rng)
    for centre in _thinned(centres, edge_px, rng) if on_support else centres:
        radius = 0.5 * width_px * math.exp(rng.normal(0, spread))
        turn = rng.uniform(0, 2 * math.pi)
        corners = _turned(outline(rng), turn) * radius + centre
        mask, (y0, x0) = _filled(corners, edge_px)
        if not mask.any():
            continue
        part = np.s_[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        covered = mask & (instances[part] > 0)
        if covered.sum() > look.overlap_share * mask.sum():
            continue
        image[part] = shade_object(image[part], mask, look, radius, rng)
        instances[part][mask] = len(areas)
        areas.append(int(mask.sum()))
    seen = np.bincount(instances.reshape(-1), minlength=len(areas))
    hidden = np.flatnonzero(seen < _LEAST_SEEN * np.array(areas))
    instances[np.isin(instances, hidden)] = 0
    return Scene(finish_image(image, look, rng), instances)


def _filled(
    corners: NDArray[np.float64], edge_px: int
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Fill an outline of (y, x) corners; return the mask within its box, and where that lies."""
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, edge_px)
    if (high <= low).any():
        return np.zeros((0, 0), dtype=np.bool_), (0, 0)
    mask = np.zeros(high - low, dtype=np.uint8)
    # Corners count in sixteenths of a pixel.
    points = np.rint((corners - low)[:, ::-1] * 16).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=4)
    return mask.view(np.bool_), (int(low[0]), int(low[1]))


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(points @ np.array([[cos, -sin], [sin, cos]]))


def _centres(edge_px: int, width_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Choose where objects lie: anywhere, in rows close by, or in heaps."""
    kind = int(rng.integers(5))
    room = edge_px + width_px
    n_most = int((room / width_px) ** 2)
    if kind == 0:
        n = max(3, int(n_most * rng.uniform(0.05, 0.5)))
        return np.asarray(rng.uniform(-width_px / 2, edge_px + width_px / 2, (n, 2)))
    if kind < 4:
        # Layers, close-packed ones among them, in which what is between objects is the rarer.
        close = kind == 1
        pitch = width_px * (rng.uniform(0.97, 1.1) if close else rng.uniform(0.95, 1.3))
        side = 1.5 * room
        y, x = np.mgrid[0 : side : pitch * 0.87, 0:side:pitch]
        x = x + pitch / 2 * (np.arange(len(y)) % 2)[:, None]
        points = np.stack([y.ravel(), x.ravel()], axis=1) - side / 2
        points = points[rng.random(len(points)) < rng.uniform(0.85 if close else 0.4, 1.0)]
        points = _turned(points, rng.uniform(0, math.pi)) + edge_px / 2
        stray_px = rng.uniform(0, 0.03 if close else 0.15) * pitch
        return np.asarray(points + rng.normal(0, stray_px, points.shape))
    n_heaps = int(rng.integers(2, 8))
    heaps = rng.uniform(0, edge_px, (n_heaps, 2))
    chosen = rng.integers(n_heaps, size=max(6, int(n_most * rng.uniform(0.15, 0.6))))
    spread_px = rng.uniform(1.0, 2.5) * width_px
    return np.asarray(heaps[chosen] + rng.normal(0, spread_px, (len(chosen), 2)))


def _thinned(
    centres: NDArray[np.float64], edge_px: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Keep a share of the centres, and in some scenes only those on one side of a line.

    On a support there is often more to be mistaken for objects than there are objects.
    """
    keep = rng.random(len(centres)) < rng.uniform(0.1, 1.0)
    if rng.random() < 0.25:
        angle, reach_px = rng.uniform(0, 2 * math.pi), rng.uniform(-0.3, 0.3) * edge_px
        beyond = (centres - edge_px / 2) @ np.array([math.cos(angle), math.sin(angle)])
        keep &= beyond > reach_px
    return centres[keep]


def _superellipses(rng: np.random.Generator) -> Outline:
    power, aspect = rng.choice([2.0, 2.0, 2.5, 4.0, 8.0]), rng.uniform(1.0, 1.7)

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        t = np.linspace(0, 2 * math.pi, _N_CORNERS, endpoint=False)
        points = np.stack([np.cos(t), np.sin(t)], axis=1)
        points = np.sign(points) * np.abs(points) ** (2 / power)
        own = math.sqrt(aspect * math.exp(rng.normal(0, 0.08)))
        return np.asarray(points * (own, 1 / own))

    return draw


def _rods(rng: np.random.Generator) -> Outline:
    aspect = rng.uniform(2.2, 6.0)

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        own = aspect * math.exp(rng.normal(0, 0.2))
        half = np.linspace(-math.pi / 2, math.pi / 2, _N_CORNERS // 2)
        cap = np.stack([np.sin(half), np.cos(half)], axis=1)
        shift = np.array([0.0, max(own - 1, 0.0)])
        points = np.concatenate([cap + shift, -cap - shift])
        # As wide, taken over the area, as the others.
        return points / math.sqrt(own)

    return draw


def _polygons(rng: np.random.Generator) -> Outline:
    n_sides = int(rng.integers(3, 8))

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        angles = (np.arange(n_sides) + rng.normal(0, 0.07, n_sides)) * 2 * math.pi / n_sides
        corners = np.stack([np.sin(angles), np.cos(angles)], axis=1) * 1.15
        # Round the corners: mix each side with those beside it.
        sides = np.repeat(corners, _N_CORNERS // n_sides, axis=0)
        window = max(1, _N_CORNERS // n_sides)
        smooth = [np.roll(sides, k, axis=0) for k in range(window)]
        return np.asarray(np.mean(smooth, axis=0))

    return draw


def _blobs(rng: np.random.Generator) -> Outline:
    roughness, aspect = rng.uniform(0.05, 0.22), rng.uniform(1.0, 1.6)

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        t = np.linspace(0, 2 * math.pi, _N_CORNERS, endpoint=False)
        radius = np.ones_like(t)
        for mode in range(2, 6):
            swing = rng.normal(0, roughness / mode**0.5)
            radius += swing * np.cos(mode * t + rng.uniform(0, 2 * math.pi))
        points = np.stack([np.sin(t), np.cos(t)], axis=1) * np.maximum(radius, 0.3)[:, None]
        return np.asarray(points * (math.sqrt(aspect), 1 / math.sqrt(aspect)))

    return draw


_FAMILIES: tuple[Callable[[np.random.Generator], Outline], ...] = (
    _superellipses,
    _superellipses,
    _rods,
    _polygons,
    _blobs,
)
