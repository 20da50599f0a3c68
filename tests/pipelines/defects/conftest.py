"""Simulated lattices small enough for tests, and their patches."""

import numpy as np
import pytest

from pipelines.defects.known import KnownDefect, mark
from pipelines.defects.patches import Patches, cut, make_patches, plan_grid
from pipelines.simulation.honeycomb_image import Imaging, simulate_lattice

PATCH_PX = 64


def lattice_patches(
    n_images: int, counts: dict[str, int], *, snr: float, size_px: int = 256, seed: int = 5
) -> tuple[Patches, np.ndarray]:
    """Cut the patches of simulated images; return them and the kind of defect in each."""
    parts = []
    for index in range(n_images):
        image = simulate_lattice(
            (size_px, size_px), counts, Imaging(snr=snr), seed=seed, index=index
        )
        origins = plan_grid(image.grey.shape, patch_px=PATCH_PX, stride_px=PATCH_PX)
        known = [KnownDefect("", d.y, d.x, d.radius_px, d.kind) for d in image.defects]
        names = np.repeat(f"image-{index}", len(origins))
        parts.append((cut(image.grey, origins, PATCH_PX), names, origins,
                      *mark(origins, PATCH_PX, known)))  # fmt: skip
    pixels, names, origins, bad, doubtful, kinds = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    patches = make_patches(
        pixels, images=names, origins_yx=origins, is_defect=bad, is_doubtful=doubtful
    )
    return patches, kinds


@pytest.fixture(scope="session")
def make_lattice():
    return lattice_patches


@pytest.fixture(scope="session")
def clean_lattice():
    """Patches of three images without any defect, at a good dose."""
    return lattice_patches(3, {}, snr=4.0)[0]


@pytest.fixture(scope="session")
def vacancies():
    """Patches of three small images with a vacancy each, at a good dose."""
    return lattice_patches(3, {"vacancy": 1}, snr=4.0, size_px=192, seed=6)[0]
