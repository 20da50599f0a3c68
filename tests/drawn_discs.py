"""Images that thresholds fail on, with outlines of their objects, for stories of learning."""

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

EDGE_PX = 160


def draw(seed):
    """Draw rimmed discs, every second one reversed, over a texture of their own contrast."""
    rng = np.random.default_rng(seed)
    image = 128 + 130 * gaussian_filter(rng.normal(size=(EDGE_PX, EDGE_PX)), 6)
    ids = np.zeros(image.shape, np.uint16)
    y, x = np.mgrid[:EDGE_PX, :EDGE_PX]
    discs = []
    for _ in range(300):
        radius = rng.uniform(8, 11)
        cy, cx = rng.uniform(4, EDGE_PX - 4, 2)
        if len(discs) == 24 or any(np.hypot(cy - a, cx - b) < radius + r + 1 for a, b, r in discs):
            continue
        discs.append((cy, cx, radius))
        sign = 1 if len(discs) % 2 else -1
        distance = np.hypot(y - cy, x - cx)
        image[distance <= radius] += sign * 15
        image[(distance <= radius) & (distance > radius - 2.5)] -= sign * 55
        ids[distance <= radius] = len(discs)
    image = gaussian_filter(image, 0.7) + rng.normal(0, 5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), ids


def write_truth(folder, seeds):
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for seed in seeds:
        image, ids = draw(seed)
        cv2.imwrite(str(folder / "images" / f"{seed}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{seed}.png"), ids)
