"""Patches as other microscopes would have shown them: turned, scaled, in other contrast.

Image and instances move together, by one map. Mirrors are among the maps: these labels have no
hand, only objects.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.learned.normalisation import GREY_LIMIT

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """Where a patch lies in its image, and how it is turned.

    Attributes
    ----------
    centre_yx : (float, float)
        In the image, in its pixels.
    scale : float
        Image pixels per patch pixel.
    turn_rad : float
        By how much the patch is turned.
    mirrored : bool
        Whether left and right are swapped as well.
    """

    centre_yx: tuple[float, float]
    scale: float
    turn_rad: float = 0.0
    mirrored: bool = False

    def matrix(self, edge_px: int) -> NDArray[np.float64]:
        """Return the affine map from patch to image, in (x, y), as OpenCV takes it."""
        cos, sin = math.cos(self.turn_rad) * self.scale, math.sin(self.turn_rad) * self.scale
        hand = -1.0 if self.mirrored else 1.0
        linear = np.array([[hand * cos, -sin], [hand * sin, cos]])
        middle = np.full(2, (edge_px - 1) / 2)
        shift = np.array(self.centre_yx[::-1]) - linear @ middle
        return np.column_stack([linear, shift])


def cut_patch(image: NDArray[Any], place: Placement, edge_px: int, *, smooth: bool) -> NDArray[Any]:
    """Cut a square patch out of an image.

    Beyond the image grey values are mirrored, as they are where a mosaic ends, and there is
    no object, and nothing to believe.

    Parameters
    ----------
    image : (H, W) array
        Grey values if ``smooth``, else ids or confidence.
    place : Placement
        Where.
    edge_px : int
        Edge of the patch.
    smooth : bool
        Whether to interpolate, rather than to take the nearest pixel.
    """
    # Only what the patch can reach is handed on: OpenCV would look at all of it.
    reach = 0.75 * edge_px * place.scale + 3
    y0, x0 = (max(0, math.floor(c - reach)) for c in place.centre_yx)
    y1, x1 = (math.ceil(c + reach) + 1 for c in place.centre_yx)
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    if smooth and place.scale > 1.2:
        part = cv2.GaussianBlur(part, (0, 0), 0.35 * place.scale)
    moved = Placement(
        (place.centre_yx[0] - y0, place.centre_yx[1] - x0),
        place.scale,
        place.turn_rad,
        place.mirrored,
    )
    patch: NDArray[Any] = cv2.warpAffine(
        part,
        moved.matrix(edge_px),
        (edge_px, edge_px),
        flags=cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST),
        borderMode=cv2.BORDER_REFLECT_101 if smooth else cv2.BORDER_CONSTANT,
    )
    return patch


def change_contrast(patch: Floats, *, polarity_free: bool, rng: np.random.Generator) -> Floats:
    """Change how a patch looks, but not what is in it.

    Parameters
    ----------
    patch : (H, W) float32 array
        Normalised grey values, about -1 to 1.
    polarity_free : bool
        Whether it may become its negative.
    rng : numpy.random.Generator
        Draws everything.
    """
    edge_y, edge_x = patch.shape
    grey = patch
    if polarity_free and rng.random() < 0.5:
        grey = -grey
    # Gamma, on the share of the range.
    share = np.clip((grey + 1) / 2, 0, 1.5)
    grey = np.asarray(share ** np.float32(math.exp(rng.normal(0, 0.35))) * 2 - 1, np.float32)
    if rng.random() < 0.35:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.35:
        slope = rng.normal(0, 0.35, 2)
        y, x = np.linspace(-1, 1, edge_y)[:, None], np.linspace(-1, 1, edge_x)[None]
        grey = grey + (slope[0] * y + slope[1] * x).astype(np.float32)
    if rng.random() < 0.3:
        # Uneven light: a smooth field that multiplies the contrast.
        coarse = rng.normal(0, 0.25, (4, 4)).astype(np.float32)
        grey = grey * (1 + cv2.resize(coarse, (edge_x, edge_y), interpolation=cv2.INTER_CUBIC))
    grey = grey * np.float32(math.exp(rng.normal(0, 0.3))) + np.float32(rng.normal(0, 0.2))
    if rng.random() < 0.6:
        noise = rng.normal(0, 1, grey.shape).astype(np.float32)
        if rng.random() < 0.4:
            noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * 2
        grey = grey + noise * np.float32(abs(rng.normal(0, 0.12)))
    return np.clip(grey, -GREY_LIMIT, GREY_LIMIT).astype(np.float32)


def paste_objects(
    image: Floats,
    instances: NDArray[np.int32],
    donor_image: Floats,
    donor_instances: NDArray[np.int32],
    *,
    n: int,
    rng: np.random.Generator,
) -> tuple[Floats, NDArray[np.int32]]:
    """Paste some whole objects of one patch over another of the same image.

    Parameters
    ----------
    image, donor_image : (H, W) float32 arrays
        Grey values of patches of one shape.
    instances, donor_instances : (H, W) int32 arrays
        Their objects.
    n : int
        Objects to paste, at most.
    rng : numpy.random.Generator
        Chooses which.
    """
    border = np.unique(
        np.concatenate([donor_instances[[0, -1]].ravel(), donor_instances[:, [0, -1]].ravel()])
    )
    whole = np.setdiff1d(np.unique(donor_instances), np.append(border, 0))
    if whole.size == 0:
        return image, instances
    chosen = rng.choice(whole, min(n, whole.size), replace=False)
    mask = np.isin(donor_instances, chosen)
    # A hard cut would teach to look for cuts.
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    mixed = image * (1 - soft) + donor_image * soft
    above = int(instances.max(initial=0))
    merged = np.where(mask, donor_instances + above, instances).astype(np.int32)
    return mixed.astype(np.float32), merged
