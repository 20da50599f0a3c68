import numpy as np
import pytest

from pipelines.archive import create_archive, particle_id
from pipelines.errors import MosaicError
from pipelines.evaluation.instances import count_shared_pixels
from pipelines.mosaic.ome_zarr import create_instances, write_mosaic
from pipelines.records import Window
from pipelines.segmentation.scoring import (
    count_mosaic,
    has_truth,
    known_labels,
    score_mosaic,
    true_labels,
)
from pipelines.tables import append_rows, to_table

TRUTH = np.zeros((40, 56), np.uint32)
TRUTH[2:12, 2:12] = 1
TRUTH[10:30, 30:50] = 2
TRUTH[33:39, 4:9] = 7
FOUND = np.zeros_like(TRUTH)
FOUND[2:12, 2:10] = 3  # 80 of 100 pixels of instance 1
FOUND[10:30, 30:41] = 4  # 220 of 400 pixels of instance 2
FOUND[0:2, 54:56] = 5


@pytest.fixture
def mosaic(tmp_path):
    archive = create_archive(tmp_path / "a")
    path = archive.mosaic("m")
    write_mosaic(path, np.zeros(TRUTH.shape, np.uint8), pixel_size_nm=2.0)
    return path


def add_instances(path, name, instances):
    writer = create_instances(
        path, name, shape=instances.shape, pixel_size_nm=2.0, shard_px=64, chunk_px=64
    )
    writer.write_core(Window(0, 0, *instances.shape), instances)
    writer.finish()


def test_found_instances_are_scored_and_matched(mosaic):
    add_instances(mosaic, "truth", TRUTH)
    add_instances(mosaic, "instances", FOUND)

    score = score_mosaic(mosaic)

    assert (score.at_50.n_truth, score.at_50.n_found, score.at_50.n_matched) == (3, 3, 2)
    assert score.at_75.n_matched == 1
    assert score.matches.truth_ids.tolist() == [1, 2]
    assert score.matches.found_ids.tolist() == [3, 4]
    assert score.matches.iou.tolist() == [0.8, 0.55]


@pytest.mark.parametrize("block_px", [7, 16, 40, 100])
def test_the_size_of_blocks_changes_nothing(mosaic, block_px):
    add_instances(mosaic, "truth", TRUTH)
    add_instances(mosaic, "instances", FOUND)

    blocked = count_mosaic(mosaic, block_px=block_px)

    whole = count_shared_pixels(TRUTH, FOUND)
    for name in vars(whole):
        np.testing.assert_array_equal(getattr(blocked, name), getattr(whole, name), name)


def test_without_truth_there_is_nothing_to_compare(mosaic):
    add_instances(mosaic, "instances", FOUND)

    assert not has_truth(mosaic)
    with pytest.raises(MosaicError, match="has no labels/truth"):
        score_mosaic(mosaic)


def test_truth_of_another_shape_is_refused(mosaic):
    add_instances(mosaic, "truth", TRUTH[:-1])
    add_instances(mosaic, "instances", FOUND)

    assert has_truth(mosaic)
    with pytest.raises(MosaicError, match=r"truth has shape \(39, 56\), labels/instances has"):
        score_mosaic(mosaic)


def test_matched_particles_get_the_label_of_their_truth(mosaic, tmp_path):
    archive = create_archive(tmp_path / "a")
    add_instances(mosaic, "truth", TRUTH)
    add_instances(mosaic, "instances", FOUND)
    columns = {"truth_instance": [1, 2, 7], "determinable": [True, False, True]}
    append_rows(
        archive, "truth", to_table("truth", {"mosaic": ["m"] * 3, "label": list("RLR"), **columns})
    )
    append_rows(
        archive, "truth", to_table("truth", {"mosaic": ["n"] * 3, "label": list("LLL"), **columns})
    )

    known = true_labels(archive, "m", score_mosaic(mosaic).matches)

    assert known.to_pylist() == [
        {
            "particle_id": particle_id("m", 3),
            "instance": 3,
            "truth_instance": 1,
            "label": "R",
            "determinable": True,
        },
        {
            "particle_id": particle_id("m", 4),
            "instance": 4,
            "truth_instance": 2,
            "label": "L",
            "determinable": False,
        },
    ]


def test_truth_without_labels_names_no_particle(mosaic, tmp_path):
    archive = create_archive(tmp_path / "a")
    add_instances(mosaic, "truth", TRUTH)
    add_instances(mosaic, "instances", FOUND)
    append_rows(archive, "truth", to_table("truth", {"mosaic": ["m"], "truth_instance": [1]}))

    assert true_labels(archive, "m", score_mosaic(mosaic).matches).num_rows == 0


def test_mosaics_without_truth_know_no_labels(mosaic, tmp_path):
    archive = create_archive(tmp_path / "a")
    write_mosaic(archive.mosaic("n"), np.zeros((8, 8), np.uint8), pixel_size_nm=None)
    add_instances(mosaic, "truth", TRUTH)
    add_instances(mosaic, "instances", FOUND)
    row = {"truth_instance": [2], "label": ["R"], "determinable": [True]}
    append_rows(archive, "truth", to_table("truth", {"mosaic": ["m"], **row}))
    append_rows(archive, "truth", to_table("truth", {"mosaic": ["n"], **row}))

    assert known_labels(archive, ["n"]).num_rows == 0
    assert known_labels(archive, ["m", "n"])["particle_id"].to_pylist() == [particle_id("m", 4)]
