"""A small mosaic of glyphs of both hands, and a plan to learn them in seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.archive import particle_id
from pipelines.classifiers.plan import Particles, TrainPlan, plan_view
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.training.augmentation import Augmentation
from pipelines.training.loop import LoopSettings
from pipelines.training.splits import SELECT, TEST, TRAIN

LEFT, RIGHT = 0, 1
N_SIDE = 10
SPACING_PX = 40


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are faster on one thread, and quieter beside other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def glyphs(tmp_path_factory, scene):
    """100 glyphs in rows, each fourth one left-handed, each turned by its own angle."""
    rng = np.random.default_rng(5)
    n = N_SIDE**2
    hands = np.where(np.arange(n) % 4 == 0, LEFT, RIGHT)
    degrees = rng.uniform(-90, 90, n)
    image = np.full((N_SIDE * SPACING_PX,) * 2, 20, np.float32)
    centres = np.stack(np.divmod(np.arange(n), N_SIDE), axis=1) * SPACING_PX + SPACING_PX / 2 - 0.5
    for (y, x), hand, angle in zip(centres, hands, degrees, strict=True):
        turned = angle if hand == RIGHT else -angle
        middle = SPACING_PX / 2 - 0.5
        drawn = scene((SPACING_PX,) * 2, (middle, middle), scale=2, angle_deg=turned)
        y0, x0 = round(y - middle), round(x - middle)
        image[y0 : y0 + SPACING_PX, x0 : x0 + SPACING_PX] = (
            drawn if hand == RIGHT else drawn[:, ::-1]
        )
    path = tmp_path_factory.mktemp("glyphs") / "g.ome.zarr"
    image += rng.normal(0, 10, image.shape)
    write_mosaic(path, np.clip(image, 0, 255).astype(np.uint8), pixel_size_nm=2.0)
    particles = Particles(
        np.array([particle_id("g", i + 1) for i in range(n)]),
        np.zeros(n, int),
        centres,
        np.radians(degrees),
    )
    return path, particles, hands


@pytest.fixture
def plan(glyphs):
    """All assumed right-handed but for a few: 60 to train on, 20 to select, 20 to test."""
    path, particles, hands = glyphs
    n = len(particles)
    roles = np.repeat([TRAIN, SELECT, TEST], [60, 20, 20])[np.random.default_rng(1).permutation(n)]
    augmentation = Augmentation(any_rotation=True, shift=0.02, zoom=0.05, noise=0.05)
    return TrainPlan(
        mosaics=[path],
        pixel_sizes_nm=[2.0],
        particles=particles,
        roles=roles,
        # One in five of the left-handed is taken for right-handed.
        given_labels=np.where(np.arange(n) % 20 == 0, RIGHT, hands),
        true_labels=hands.copy(),
        classes=["left", "right"],
        mirrored_class=[1, 0],
        use_mirror_images=False,
        method="ce",
        network={
            "architecture": "polar",
            "widths": [8, 16],
            "n_classes": 2,
            "dropout": 0.0,
            "antisymmetric": True,
            "mirrored_class": [1, 0],
            "n_networks": 1,
        },
        view=plan_view(72.0, in_nm=True, input_px=24, aligned=False, augmentation=augmentation),
        augmentation=augmentation,
        loop=LoopSettings(n_epochs=3, batch_size=16, learning_rate=0.02),
        n_rotations=1,
        cache_bytes=2**24,
        seed=3,
    )


@pytest.fixture
def vary():
    """Return a plan with some parts replaced; ``loop_`` and ``network_`` reach inside."""

    def varied(plan, **changes):
        inner = {"loop": {}, "network": {}}
        for name in list(changes):
            part, _, key = name.partition("_")
            if part in inner and key:
                inner[part][key] = changes.pop(name)
        return replace(
            plan,
            loop=replace(plan.loop, **inner["loop"]),
            network={**plan.network, **inner["network"]},
            **changes,
        )

    return varied
