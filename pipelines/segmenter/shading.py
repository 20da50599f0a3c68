"""How a made-up scene is seen: light and shade of objects, what lies behind, camera and writing."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.segmenter.supports import draw_grain, draw_support

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """How the objects of one scene look; grey levels from 0 to 1 before the camera.

    Attributes
    ----------
    background, contrast : float
        Grey level behind the objects, and by how much a typical one differs, up or down.
    spread : float
        Standard deviation of an object's own contrast, as a share.
    opaque : bool
        Whether objects hide what lies under them; otherwise contrasts add up.
    overlap_share : float
        An object that would cover more of others is not laid down.
    dome, edge, hollow, slope, texture : float
        How far an object bulges, has a bright rim, is empty inside, is lit from one side, is
        uneven; shares of its contrast.
    side_rad : float
        Where the light comes from.
    fog : float
        Strength of what varies slowly behind the objects.
    clutter : int
        Blurred things behind the objects that are none.
    blur_px, noise : float
        Of the camera.
    writing : bool
        Whether there are letters and bars over the image.
    support : float
        Grey levels of what objects lie on, where it is thickest, up or down; 0 without.
    """

    background: float
    contrast: float
    spread: float
    opaque: bool
    overlap_share: float
    dome: float
    edge: float
    hollow: float
    slope: float
    texture: float
    side_rad: float
    fog: float
    clutter: int
    blur_px: float
    noise: float
    writing: bool
    support: float = 0.0


def draw_look(rng: np.random.Generator, width_px: float) -> Look:
    """Draw how the objects of a scene look."""
    contrast = float(rng.uniform(0.12, 0.6) * rng.choice([-1, 1]))

    def sometimes(share: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < share else 0.0

    return Look(
        background=float(rng.uniform(0.1, 0.4) if contrast > 0 else rng.uniform(0.55, 0.9)),
        contrast=contrast,
        spread=float(rng.choice([0.05, 0.15, 0.35])),
        opaque=bool(rng.random() < 0.7),
        overlap_share=float(rng.choice([0.0, 0.03, 0.15, 0.4])),
        dome=sometimes(0.5, 0.2, 1.0),
        edge=sometimes(0.45, 0.3, 1.5),
        hollow=sometimes(0.2, 0.4, 1.1),
        slope=sometimes(0.3, 0.2, 0.7),
        texture=sometimes(0.5, 0.05, 0.3),
        side_rad=float(rng.uniform(0, 2 * math.pi)),
        fog=sometimes(0.6, 0.05, 0.5),
        clutter=int(rng.integers(1, 25)) if rng.random() < 0.4 else 0,
        blur_px=float(rng.uniform(0.3, 0.05 * width_px + 0.4)),
        noise=float(rng.choice([0.01, 0.03, 0.08, 0.15])),
        writing=bool(rng.random() < 0.3),
    )


def draw_background(edge_px: int, width_px: float, look: Look, rng: np.random.Generator) -> Floats:
    """Draw what lies behind the objects."""
    image = np.full((edge_px, edge_px), look.background, dtype=np.float32)
    strength = look.fog * abs(look.contrast)
    image += strength * draw_grain(edge_px, edge_px / 3, rng)
    if rng.random() < 0.5:
        image += 0.3 * strength * draw_grain(edge_px, width_px / 3, rng)
    if look.clutter:
        things = np.zeros_like(image)
        for _ in range(look.clutter):
            y, x = rng.integers(0, edge_px, 2).tolist()
            radius = max(1, round(width_px * rng.uniform(0.05, 0.6)))
            grey = float(rng.normal(0, 0.6)) * look.contrast
            if rng.random() < 0.6:
                cv2.circle(things, (x, y), radius, grey, -1)
            else:
                end = rng.integers(0, edge_px, 2).tolist()
                cv2.line(things, (x, y), end, grey, max(1, radius // 6))
        image += cv2.GaussianBlur(things, (0, 0), width_px * rng.uniform(0.1, 0.4))
    if look.support:
        image += look.support * draw_support(edge_px, width_px, rng)
    return image


def shade_object(
    under: Floats, mask: NDArray[np.bool_], look: Look, radius_px: float, rng: np.random.Generator
) -> Floats:
    """Lay one object over what is there.

    Parameters
    ----------
    under : (h, w) float32 array
        What is there, in the object's box.
    mask : (h, w) bool array
        The object.
    look : Look
        How objects look here.
    radius_px : float
        The object's size.
    rng : numpy.random.Generator
        Draws what is the object's own.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth = np.minimum(distance / max(float(distance.max()), 1e-3), 1)
    body = np.ones(mask.shape, dtype=np.float32)
    body += look.dome * (np.sqrt(1 - (1 - depth) ** 2) - 1)
    body += look.edge * np.exp(-distance / max(1.0, 0.08 * radius_px))
    body -= look.hollow * np.clip((depth - 0.35) / 0.3, 0, 1)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    along = (y - y.mean()) * math.sin(look.side_rad) + (x - x.mean()) * math.cos(look.side_rad)
    body += look.slope * along / max(radius_px, 1.0)
    if look.texture:
        body += (
            look.texture
            * draw_grain(max(mask.shape), radius_px / 3, rng)[: mask.shape[0], : mask.shape[1]]
        )
    own = look.contrast * math.exp(rng.normal(0, look.spread))
    ground = np.float32(look.background) if look.opaque else under
    # One pixel of the rim is half object, as a camera sees it.
    cover = np.clip(distance, 0, 1)
    return np.asarray(under * (1 - cover) + (ground + own * body) * cover, dtype=np.float32)


def finish_image(image: Floats, look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """See the scene through a camera, and write on it."""
    seen = cv2.GaussianBlur(image, (0, 0), look.blur_px)
    noise = rng.normal(0, 1, image.shape).astype(np.float32)
    if rng.random() < 0.3:
        noise += rng.normal(0, 0.7, (image.shape[0], 1)).astype(np.float32)
    if rng.random() < 0.4:
        # Few electrons or photons: the brighter, the more it varies.
        noise *= np.sqrt(np.clip(seen, 0.02, 1.5)) * 1.4
    seen = seen + look.noise * noise
    digital: NDArray[np.uint8] = np.clip(np.rint(seen * 255), 0, 255).astype(np.uint8)
    if look.writing:
        _write(digital, rng)
    return digital


def _write(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    edge = image.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        grey = int(rng.choice([0, 255]))
        y, x = rng.integers(0, edge, 2).tolist()
        if rng.random() < 0.3:
            # A panel behind the letters.
            cv2.rectangle(image, (x - 4, y - 30), (x + 110, y + 8), 255 - grey, -1)
        text = "".join(rng.choice(list("abcdnmμ0125(){}.:")).item() for _ in range(4))
        text = text.replace("μ", "u")
        size = float(rng.uniform(0.6, 1.6))
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, grey, 2)
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y + 4), (x + int(rng.integers(30, 100)), y + 9), grey, -1)
