"""Train a classifier, and classify particles: here for few, on Ray for many."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.resources import ANY_TEAM, ActorPool, Node, TeamWish, Wish, plan_pool
from cluster.streams import map_blocks
from pipelines.classifiers.fit import MODEL_FOLDER, fit_classifier
from pipelines.classifiers.model import Classifier, load_classifier
from pipelines.classifiers.plan import TrainPlan
from pipelines.places import place
from pipelines.training.crop_source import CropSource, MosaicCrops
from pipelines.training.flow import run_training
from pipelines.training.loader import CropLoader

#: Particles that are classified at a time.
BATCH_N_PARTICLES = 512
#: Bound on the crops that wait to be classified, in bytes.
_AHEAD_BYTES = 2**27


def train_classifier(
    plan: TrainPlan,
    *,
    folder: Path,
    n_workers: int = 0,
    wish: TeamWish = ANY_TEAM,
    watch: Callable[[Path], None] | None = None,
) -> Path:
    """Train as planned, going on from what ``folder`` holds; return the model's folder.

    Parameters
    ----------
    plan : TrainPlan
        What to do.
    folder : Path
        Where checkpoints and the model go.
    n_workers : int
        0: in this process.
    wish : TeamWish
        What each worker is to have.
    watch : callable, optional
        Called with ``folder`` now and then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run_training(fit_classifier, plan, folder=folder, n_workers=n_workers, wish=wish, watch=watch)
    return folder / MODEL_FOLDER


def predict_here(
    classifier: Classifier, crops: CropSource
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Classify particles in this process.

    Yields
    ------
    rows : (n,) ndarray of int
        Rows of ``crops``, neighbours in the mosaic together.
    probabilities : (n, K) ndarray
    """
    order = crops.blocks(np.arange(len(crops)))
    if not order:
        return
    rows = np.concatenate(order)
    batches = np.split(rows, np.arange(BATCH_N_PARTICLES, len(rows), BATCH_N_PARTICLES))
    # Nothing is asked for twice, so the bound is all for reading ahead.
    loader = CropLoader(crops, rows[:0], cache_bytes=_AHEAD_BYTES)
    for batch, pixels in zip(batches, loader.batches(batches), strict=True):
        yield batch, classifier.probabilities(pixels)


def predict_on_ray(
    model: Path,
    crops: MosaicCrops,
    *,
    pool: ActorPool,
    batch_n_particles: int = BATCH_N_PARTICLES,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Classify particles on a connected Ray: as `predict_here`, in batches of any order.

    Parameters
    ----------
    model : Path
        The model's folder; all workers must see it, and the mosaics.
    crops : MosaicCrops
        The particles.
    pool : ActorPool
        What to use; no more of it than there are batches.
    batch_n_particles : int
        Particles that an actor classifies at a time.
    """
    rows = np.concatenate(crops.blocks(np.arange(len(crops))))
    columns = {
        "row": rows,
        "mosaic_index": crops.mosaic_index[rows],
        "y": crops.centres_yx[rows, 0],
        "x": crops.centres_yx[rows, 1],
        "orientation": crops.orientations_rad[rows],
    }
    table = pa.table(columns)
    # One block, one batch: neighbours stay together, and a block is a few kilobytes of numbers.
    blocks = [
        table.slice(start, batch_n_particles).combine_chunks()
        for start in range(0, table.num_rows, batch_n_particles)
    ]
    arguments = {
        "model": str(model),
        "paths": [str(path) for path in crops.paths],
        "fields_px": list(crops.fields_px),
    }
    for batch in map_blocks(
        blocks, ParticleClassifier, arguments, key="row", pool=pool, takes="numpy", gives="numpy"
    ):
        yield batch["row"], np.stack(list(batch["probabilities"])).astype(np.float64)


def classifier_pool(nodes: Sequence[Node], wish: Wish) -> ActorPool:
    """Plan classifiers: by share of an accelerator if there are any, else one per core."""
    has_gpus = any(node.gpus >= wish.gpu_share for node in nodes)
    return plan_pool(nodes, wish, gpus=wish.gpu_share if has_gpus else 0.0)


class ParticleClassifier:
    """Classifies batches of particles; built once per actor."""

    def __init__(self, model: str, paths: list[str], fields_px: list[float]) -> None:
        self._classifier = load_classifier(Path(model))
        self._paths = tuple(place(path) for path in paths)
        self._fields_px = tuple(fields_px)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return ``row`` and ``probabilities`` of a batch of particles."""
        # Ray may hand over an empty block without columns.
        if "row" not in batch:
            return batch
        crops = MosaicCrops(
            paths=self._paths,
            fields_px=self._fields_px,
            mosaic_index=batch["mosaic_index"],
            centres_yx=np.stack([batch["y"], batch["x"]], axis=1),
            orientations_rad=batch["orientation"],
            spec=self._classifier.view.spec,
        )
        pixels = crops.read(np.arange(len(crops)))
        return {"row": batch["row"], "probabilities": self._classifier.probabilities(pixels)}
