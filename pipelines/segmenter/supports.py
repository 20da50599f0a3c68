"""What objects of some made-up scenes lie on: thick, uneven, and brighter than they are."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Dimness:
    """How dim objects on a support are, and how thick that is.

    Attributes
    ----------
    background, contrast, noise, support : float
        As `shading.Look` has them.
    """

    background: float
    contrast: float
    noise: float
    support: float


def draw_dimness(sign: float, rng: np.random.Generator) -> Dimness:
    """Draw how dim objects are, brighter (1) or darker (-1) than what is between them."""
    contrast = math.exp(rng.uniform(math.log(0.05), math.log(0.25)))
    return Dimness(
        background=float(rng.uniform(0.03, 0.15) if sign > 0 else rng.uniform(0.8, 0.95)),
        contrast=sign * contrast,
        noise=contrast * float(rng.uniform(0.05, 0.4)),
        support=sign * float(rng.uniform(0.25, 0.7)),
    )


def draw_support(edge_px: int, width_px: float, rng: np.random.Generator) -> Floats:
    """Draw how thick a support is, 0 to 1: heaped balls, or something rough with folds.

    Parameters
    ----------
    edge_px : int
        Edge of the square image.
    width_px : float
        Width of the objects on it; nearly all of the support varies more slowly.
    rng : numpy.random.Generator
        Draws everything.
    """
    thick = _balls(edge_px, width_px, rng) if rng.random() < 0.5 else _hills(edge_px, width_px, rng)
    thick = cv2.GaussianBlur(thick, (0, 0), 0.08 * width_px)
    return np.asarray(thick / max(float(thick.max()), 1e-6), dtype=np.float32)


def _balls(edge_px: int, width_px: float, rng: np.random.Generator) -> Floats:
    thick = np.zeros((edge_px, edge_px), dtype=np.float32)
    y, x = np.mgrid[:edge_px, :edge_px].astype(np.float32)
    for _ in range(int(rng.integers(4, 40))):
        radius = width_px * math.exp(rng.uniform(math.log(1.5), math.log(7)))
        cy, cx = rng.uniform(-radius / 2, edge_px + radius / 2, 2).tolist()
        away = ((y - cy) ** 2 + (x - cx) ** 2) / radius**2
        thick += np.sqrt(np.maximum(1 - away, 0)) * np.float32(radius)
    return thick


def _hills(edge_px: int, width_px: float, rng: np.random.Generator) -> Floats:
    # The finer, the weaker, by a power that varies: from smooth hills to felt.
    fall = rng.uniform(0.4, 1.1)
    thick = np.zeros((edge_px, edge_px), dtype=np.float32)
    for octave in range(6):
        thick += 2 ** (-fall * octave) * draw_grain(edge_px, 6 * width_px / 2**octave, rng)
    for _ in range(int(rng.integers(0, 6))):
        fold = np.zeros_like(thick)
        one, other = (rng.integers(0, edge_px, 2).tolist() for _ in range(2))
        cv2.line(fold, one, other, 1.0, max(1, round(width_px * rng.uniform(0.3, 1.5))))
        thick += rng.uniform(0.3, 1.5) * cv2.GaussianBlur(fold, (0, 0), 0.3 * width_px)
    return np.asarray(np.maximum(thick - np.quantile(thick, rng.uniform(0, 0.4)), 0), np.float32)


def draw_grain(edge_px: int, grain_px: float, rng: np.random.Generator) -> Floats:
    """Draw smooth noise of standard deviation about 1."""
    coarse_px = max(2, math.ceil(edge_px / max(grain_px, 1.0)) + 1)
    coarse = rng.normal(0, 1, (coarse_px, coarse_px)).astype(np.float32)
    size = (edge_px, edge_px)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
