"""An archive with particles of both hands, small enough to learn from in a second or two."""

import shutil

import numpy as np
import pytest

from pipelines.archive import Archive, create_archive, particle_id
from pipelines.mosaic.ome_zarr import create_instances, write_mosaic
from pipelines.records import Window
from pipelines.tables import append_rows, read_rows, to_table
from services.label_store import commit_labels

#: Not its own mirror image, however it is turned.
FLAG = np.kron(
    np.array(
        [
            [1, 1, 1, 0],
            [1, 0, 1, 0],
            [1, 1, 1, 0],
            [1, 0, 0, 0],
            [1, 0, 0, 0],
            [1, 0, 0, 0],
        ]
    ),
    np.ones((4, 4)),
).astype(bool)
SPACING_PX = 40


def add_mosaic(archive, name, hands, *, pixel_size_nm=2.0, segmentation="s1", truth=True):
    """Draw particles of the given hands in a row, and enter them as if they had been segmented."""
    rng = np.random.default_rng(len(name))
    n = len(hands)
    shape = (SPACING_PX, SPACING_PX * n)
    image = rng.normal(60, 8, shape)
    ids = np.zeros(shape, np.uint32)
    for i, hand in enumerate(hands):
        flag = np.rot90(FLAG if hand == "right" else FLAG[:, ::-1], rng.integers(4))
        y0 = (SPACING_PX - flag.shape[0]) // 2
        x0 = i * SPACING_PX + (SPACING_PX - flag.shape[1]) // 2
        place = slice(y0, y0 + flag.shape[0]), slice(x0, x0 + flag.shape[1])
        image[place] += 120 * flag
        ids[place] = (i + 1) * flag
    path = archive.mosaic(name)
    write_mosaic(path, np.clip(image, 0, 255).astype(np.uint8), pixel_size_nm=pixel_size_nm)
    for label in ("instances", "truth") if truth else ("instances",):
        writer = create_instances(
            path, label, shape=shape, pixel_size_nm=pixel_size_nm, shard_px=2048, chunk_px=512,
            attributes={"segmentation": segmentation},
        )  # fmt: skip
        for x0 in range(0, shape[1], 2048):
            core = Window(0, x0, shape[0], min(x0 + 2048, shape[1]))
            writer.write_core(core, ids[core.slices])
        writer.finish()
    instances = np.arange(1, n + 1)
    centres = np.arange(n) * SPACING_PX + SPACING_PX / 2 - 0.5
    columns = {
        "particle_id": [particle_id(name, i) for i in instances],
        "mosaic": [name] * n,
        "instance": instances,
        "segmentation": [segmentation] * n,
        "centroid_y_px": np.full(n, SPACING_PX / 2 - 0.5),
        "centroid_x_px": centres,
        "bbox_y0_px": np.full(n, SPACING_PX // 2 - 12),
        "bbox_x0_px": instances * SPACING_PX - SPACING_PX // 2 - 12,
        "bbox_y1_px": np.full(n, SPACING_PX // 2 + 12),
        "bbox_x1_px": instances * SPACING_PX - SPACING_PX // 2 + 12,
        "orientation_rad": np.zeros(n),
        "major_axis_px": np.full(n, 26.0),
        "equivalent_diameter_px": 15.0 + instances % 10,
        "touches_edge": [False] * n,
        "low_contrast": [False] * n,
    }
    append_rows(archive, "particles", to_table("particles", columns))
    if truth:
        rows = {
            "mosaic": [name] * n,
            "truth_instance": instances,
            "label": list(hands),
            "determinable": [hand != "none" for hand in hands],
        }
        append_rows(archive, "truth", to_table("truth", rows))


def add_labels(archive, labels, *, segmentation="s1"):
    """Commit labels, given as a mapping of (mosaic, instance) to label."""
    rows = [
        {
            "particle_id": particle_id(mosaic, instance),
            "mosaic": mosaic,
            "instance": instance,
            "segmentation": segmentation,
            "label": label,
            "state": "given",
            "source": "assumed",
            "method": "assume",
        }
        for (mosaic, instance), label in labels.items()
    ]
    return commit_labels(
        archive, to_table("labels", rows), method="assume", author="ada", run_id="",
        code_version="1",
    )  # fmt: skip


def add_hands(archive):
    """One mosaic of right-handed particles, assumed to be so; a mixed one that is held out."""
    add_mosaic(archive, "synthesis", ["right"] * 57 + ["left"] * 3)
    add_mosaic(archive, "mixed", ["right", "left"] * 12)
    add_labels(archive, {("synthesis", i): "right" for i in range(1, 61)})
    return archive


@pytest.fixture(scope="session")
def drawn_hands(tmp_path_factory):
    """Particles of both hands, to be copied."""
    return add_hands(create_archive(tmp_path_factory.mktemp("drawn") / "a"))


@pytest.fixture
def hands(drawn_hands, tmp_path):
    """Particles of both hands, before any training."""
    shutil.copytree(drawn_hands.root, tmp_path / "a")
    return Archive(tmp_path / "a")


@pytest.fixture(scope="session")
def new_store(tmp_path_factory):
    """A database of MLflow's without a run, to be copied: to make one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def ready_store(hands, new_store):
    """Give the particles' archive its database, for tests that make a run."""
    shutil.copy(new_store, hands.root / "mlflow.db")


@pytest.fixture(scope="session")
def trained_hands(tmp_path_factory):
    """The same after a training; tests only read it."""
    from services.verbs import train

    archive = add_hands(create_archive(tmp_path_factory.mktemp("trained") / "a"))
    return archive, train.execute(train.Settings(archive=archive.root, **QUICK))


#: Settings of a training that takes about a second.
QUICK = {
    "hold_out": ("mixed",),
    "epochs": 12,
    "input_px": 24,
    "field_px": 36.0,
    "batch_size": 16,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="session")
def quick():
    return QUICK


@pytest.fixture(scope="session")
def archive_maker():
    """Give the functions that fill an archive: ``mosaic`` and ``labels``."""
    from types import SimpleNamespace

    return SimpleNamespace(mosaic=add_mosaic, labels=add_labels, rows=read_rows)
