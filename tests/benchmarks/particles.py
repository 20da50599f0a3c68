"""A drawn mosaic for benchmarks: discs and hexagons, many of them touching, with noise."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.archive import Archive, create_archive
from pipelines.mosaic.ome_zarr import create_mosaic

BLOCK_PX = 4096


def draw_block(
    seed: int = 0, n_particles: int = 1000
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw 4096 x 4096 pixels with particles of about 75 pixels; return image and truth."""
    rng = np.random.default_rng(seed)
    image = np.full((BLOCK_PX, BLOCK_PX), 60, np.float32)
    truth = np.zeros((BLOCK_PX, BLOCK_PX), np.int32)
    centres: list[tuple[float, float, float]] = []
    while len(centres) < n_particles:
        radius = rng.uniform(30, 45)
        if centres and rng.random() < 0.15:
            # Beside an earlier one, so that the two touch.
            near_y, near_x, near = centres[rng.integers(len(centres))]
            direction, apart = rng.uniform(0, 2 * np.pi), (near + radius) * rng.uniform(0.82, 0.95)
            y, x = near_y + apart * np.sin(direction), near_x + apart * np.cos(direction)
        else:
            y, x = rng.uniform(radius, BLOCK_PX - radius, 2)
        if not (radius + 2 < min(y, x) and max(y, x) < BLOCK_PX - radius - 2):
            continue
        turn, narrow = rng.uniform(0, np.pi), rng.uniform(0.55, 1)
        corners = np.linspace(0, 2 * np.pi, 6 if rng.random() < 0.5 else 24, endpoint=False)
        along, across = radius * np.cos(corners), narrow * radius * np.sin(corners)
        outline = np.stack(
            [
                x + along * np.cos(turn) - across * np.sin(turn),
                y + along * np.sin(turn) + across * np.cos(turn),
            ],
            axis=1,
        )
        y0, x0, edge = int(y - radius - 2), int(x - radius - 2), int(2 * radius + 6)
        mask = np.zeros((edge, edge), np.uint8)
        cv2.fillPoly(mask, [np.round(outline - (x0, y0)).astype(np.int32)], 1)
        here = truth[y0 : y0 + edge, x0 : x0 + edge]
        inside = mask[: here.shape[0], : here.shape[1]].astype(bool)
        if (here[inside] > 0).mean() > 0.04:
            continue
        inside &= here == 0
        centres.append((y, x, radius))
        here[inside] = len(centres)
        image[y0 : y0 + edge, x0 : x0 + edge][inside] = rng.uniform(120, 160)
    image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 10, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), truth


def make_archive(path: Path, block: NDArray[np.uint8], size_px: int) -> Archive:
    """Make an archive of one mosaic of ``size_px`` squared, the block over and over."""
    archive = create_archive(path)
    writer = create_mosaic(
        archive.mosaic("drawn"), shape=(size_px, size_px), dtype="uint8", pixel_size_nm=2.0
    )
    for y in range(0, size_px, 2048):
        for x in range(0, size_px, 2048):
            top, left = y % BLOCK_PX, x % BLOCK_PX
            writer.write(y, x, block[top : top + 2048, left : left + 2048])
    writer.finish()
    return archive
