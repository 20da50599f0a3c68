import math

import numpy as np
import pytest

from pipelines.archive import Archive, create_archive, particle_id
from pipelines.mosaic.ome_zarr import create_instances, write_mosaic
from pipelines.records import Window
from pipelines.tables import append_rows, to_table
from services.assessment import assess

#: Three particles of four pixels each in a row; the last was found a pixel too wide.
TRUE = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 0], [1, 1, 0, 2, 2, 0, 3, 3, 0]], dtype=np.uint32)
FOUND = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 3], [1, 1, 0, 2, 2, 0, 3, 3, 3]], dtype=np.uint32)


@pytest.fixture
def archive(tmp_path) -> Archive:
    archive = create_archive(tmp_path / "a")
    path = archive.mosaic("m")
    write_mosaic(path, np.zeros(TRUE.shape, dtype=np.uint8), pixel_size_nm=1.0)
    for name, image in [("truth", TRUE), ("instances", FOUND)]:
        writer = create_instances(
            path, name, shape=TRUE.shape, pixel_size_nm=1.0, shard_px=64, chunk_px=64, attributes={}
        )
        writer.write_core(Window(0, 0, *TRUE.shape), image)
        writer.finish()
    return archive


def know(archive: Archive, labels: list[str], determinable: list[bool]) -> None:
    rows = {
        "mosaic": ["m"] * len(labels),
        "truth_instance": list(range(1, len(labels) + 1)),
        "label": labels,
        "determinable": determinable,
    }
    append_rows(archive, "truth", to_table("truth", rows))


def predict(archive: Archive, lefts: list[float], *, model_uri: str = "models:/m/1") -> None:
    n = len(lefts)
    rows = {
        "particle_id": [particle_id("m", i + 1) for i in range(n)],
        "mosaic": ["m"] * n,
        "instance": list(range(1, n + 1)),
        "classes": [["left", "right"]] * n,
        "probabilities": [[left, 1 - left] for left in lefts],
        "model_uri": [model_uri] * n,
    }
    append_rows(archive, "predictions", to_table("predictions", rows))


def test_predictions_are_judged_by_the_truth_of_held_out_particles(archive):
    know(archive, ["left", "right", "right"], [True, True, True])
    predict(archive, [0.9, 0.2, 0.7])

    found = assess(archive, held_out=["m"], model_uri="models:/m/1")

    assert found.instance_f1 == 1.0
    assert found.classes is not None
    assert found.classes.confusion.tolist() == [[1, 0], [1, 1]]
    assert found.classes.accuracy == pytest.approx(2 / 3)
    low, high = found.classes.interval(seed=0)
    assert 0 <= low < 2 / 3 < high <= 1
    assert found.achiral is None


def test_undeterminable_particles_and_other_models_do_not_count(archive):
    know(archive, ["left", "right", "right"], [True, True, False])
    predict(archive, [0.9, 0.2, 0.7])
    predict(archive, [0.1, 0.9, 0.7], model_uri="models:/m/2")

    found = assess(archive, held_out=["m"], model_uri="models:/m/1")

    assert found.classes is not None
    assert (found.classes.n, found.classes.accuracy) == (2, 1.0)


def test_particles_without_a_hand_are_a_coin_thrown(archive):
    know(archive, ["none", "none", "none"], [False, False, False])
    predict(archive, [0.9, 0.2, 0.7])

    found = assess(archive, held_out=["m"], model_uri="models:/m/1")

    assert found.classes is None
    assert found.achiral is not None
    assert (found.achiral.n_class, found.achiral.n_total) == (2, 3)
    assert found.achiral_two_sd == pytest.approx(2 * math.sqrt(0.25 / 3))


def test_a_mosaic_that_was_trained_on_judges_instances_alone(archive):
    know(archive, ["left", "right", "right"], [True, True, True])
    predict(archive, [0.9, 0.2, 0.7])

    found = assess(archive, held_out=[], model_uri="models:/m/1")

    assert found.instance_f1 == 1.0
    assert found.classes is None
