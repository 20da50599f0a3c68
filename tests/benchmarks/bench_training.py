"""Training from crops read out of the mosaic, against the same loop on crops in memory."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.classifiers.fit import fit_classifier
from pipelines.classifiers.plan import (
    Particles,
    TrainPlan,
    describe_network,
    plan_view,
)
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.training.augmentation import Augmentation
from pipelines.training.crop_source import MosaicCrops
from pipelines.training.loop import LoopSettings
from pipelines.training.splits import SplitFractions, split_roles
from pipelines.training.team import Team
from tests.benchmarks.record import Measurement

N_EPOCHS = 12
N_REPEATS = 4
N_PARTICLES = 1000
MOSAIC_PX = 4096


@dataclass(frozen=True)
class CropsInMemory:
    """Crops that were all read before the clock started."""

    source: MosaicCrops
    crops: NDArray[Any]

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def size_px(self) -> int:
        return self.source.size_px

    def blocks(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return self.source.blocks(rows)

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return self.crops[rows]


@dataclass(frozen=True)
class MemoryPlan(TrainPlan):
    """The same training, on crops that were read before the clock started."""

    in_memory: Any = None

    def crops(self) -> Any:
        return self.in_memory


def run() -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        plan = draw_plan(Path(folder))
        source = plan.crops()
        crops = CropsInMemory(source, source.read(np.arange(len(source))))
        memory = MemoryPlan(**vars(plan), in_memory=crops)
        # What does not fit is read anew in every epoch.
        tight = replace(plan, cache_bytes=crops.crops.nbytes // 2)
        epoch_seconds(replace(memory, loop=LoopSettings(n_epochs=1)))
        rounds = [[epoch_seconds(p) for p in (plan, tight, memory)] for _ in range(N_REPEATS)]
    kept, streamed, baseline = zip(*rounds, strict=True)
    return [
        compare(f"epoch of a training of {N_EPOCHS}, reading crops included", kept, baseline),
        compare("the same, with memory for half of the crops", streamed, baseline),
    ]


def compare(name: str, ours: Sequence[float], baseline: Sequence[float]) -> Measurement:
    """Compare the quickest of interleaved runs: whatever else the machine does only adds."""
    return Measurement(
        f"{name}, against crops in memory",
        f"{min(ours):.2f} s",
        f"{min(baseline):.2f} s",
        min(ours) / min(baseline),
        "at most",
        1.1,
    )


def epoch_seconds(plan: TrainPlan) -> float:
    """Train from nothing to a written model; return the seconds that an epoch took in all."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fit_classifier(plan, Path(folder), Team())
        return (time.perf_counter() - started) / plan.loop.n_epochs


def draw_plan(folder: Path) -> TrainPlan:
    """Plan a training on noise: its cost does not depend on what the crops show."""
    rng = np.random.default_rng(0)
    path = folder / "m.ome.zarr"
    pixels = rng.integers(0, 256, (MOSAIC_PX, MOSAIC_PX), dtype=np.uint8)
    write_mosaic(path, pixels, pixel_size_nm=2.0)
    ids = np.arange(1, N_PARTICLES + 1)
    augmentation = Augmentation(any_rotation=True)
    return TrainPlan(
        mosaics=[path],
        pixel_sizes_nm=[2.0],
        particles=Particles(
            particle_ids=ids,
            mosaic_index=np.zeros(N_PARTICLES, dtype=np.int64),
            centres_yx=rng.uniform(80, MOSAIC_PX - 80, (N_PARTICLES, 2)),
            orientations_rad=np.zeros(N_PARTICLES),
        ),
        roles=split_roles(ids, fractions=SplitFractions(test=0.0), seed=0),
        given_labels=ids % 2,
        true_labels=np.full(N_PARTICLES, -1),
        classes=["left", "right"],
        mirrored_class=[1, 0],
        use_mirror_images=False,
        method="ce",
        network=describe_network(
            "polar", "slim", mirrored_class=[1, 0], antisymmetric=True, dropout=0.0, n_networks=1
        ),
        view=plan_view(200.0, in_nm=True, input_px=64, aligned=False, augmentation=augmentation),
        augmentation=augmentation,
        loop=LoopSettings(n_epochs=N_EPOCHS),
    )
