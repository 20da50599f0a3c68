from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.segmenter.material import write_source
from pipelines.segmenter.plan import FitPlan, Source


def draw_discs(seed: int, edge_px: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Discs some 14 pixels wide, bright on dark, some touching, with noise."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((edge_px, edge_px), dtype=np.int32)
    y, x = np.mgrid[:edge_px, :edge_px]
    for number in range(1, 15):
        centre_y, centre_x = rng.uniform(8, edge_px - 8, 2)
        radius = rng.uniform(6, 8)
        disc = (y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2
        if not (instances[disc] > 0).any():
            instances[disc] = number
    image = 60 + 90 * (instances > 0) + rng.normal(0, 8, instances.shape)
    return np.clip(image, 0, 255).astype(np.uint8), instances


@pytest.fixture(scope="session")
def discs() -> Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int32]]]:
    return draw_discs


@pytest.fixture
def disc_sources(tmp_path: Path) -> list[Source]:
    return [write_source(tmp_path, f"discs-{i}", "truth", *draw_discs(i)) for i in range(3)]


@pytest.fixture(scope="session")
def tiny() -> Callable[..., FitPlan]:
    """A plan that takes a moment."""

    def plan(sources: list[Source], **more: Any) -> FitPlan:
        return FitPlan(
            tuple(sources),
            **{
                "n_epochs": 2,
                "steps_per_epoch": 2,
                "batch_size": 2,
                "patch_px": 64,
                "object_px": 14.0,
                **more,
            },
        )

    return plan
