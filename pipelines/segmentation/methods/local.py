"""A threshold half way between the background and the particles nearby."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.segmentation.methods.otsu import Otsu, least_lift
from pipelines.segmentation.overview import Overview


class Local(Otsu):
    """Local threshold, distance watershed: for contrast that changes over the mosaic."""

    version = 1

    def lifts(self, overview: Overview) -> NDArray[np.float32]:
        """Take half of the mean lift of the particles within the scale of flattening."""
        everywhere = float(super().lifts(overview))
        lift = overview.coarse_lift()
        particles = lift > everywhere
        # A coarse pixel mixes particle and background; the mean of those beyond is near enough.
        scale = max(1.0, overview.settings.flatten_px / overview.block_px)
        step = max(1, int(scale // 8))
        weights = particles[::step, ::step].astype(np.float32)
        values = np.where(particles, lift, 0)[::step, ::step].astype(np.float32)
        sigma = max(1.0, scale / step / 2)
        total = cv2.GaussianBlur(weights, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        sums = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        # Far from any particle the threshold of the whole mosaic counts.
        local = (sums / 2 + 0.05 * everywhere) / (total + 0.05)
        height, width = overview.image.shape
        found = cv2.resize(local, (width, height), interpolation=cv2.INTER_LINEAR)
        lifts: NDArray[np.float32] = np.maximum(found, np.float32(least_lift(overview)))
        return lifts.reshape(height, width)


METHOD = Local()
