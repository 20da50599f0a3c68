import shutil

import numpy as np
import pytest

from pipelines.archive import create_archive, particle_id
from pipelines.errors import LabelError
from pipelines.mosaic.ome_zarr import create_instances, write_mosaic
from pipelines.records import Window
from pipelines.segmentation.painting import set_aside
from pipelines.tables import to_table
from services.label_carrying import carry_labels, carry_over
from services.label_check import verify_versions
from services.label_store import commit_labels, current_version, list_versions, read_labels

#: Instances of the first and of the second segmentation: 1 becomes 2, 2 falls apart into 1 and 3,
#: 3 is no more, 4 is new.
FIRST = [
    "111..2222..33...",
    "111..2222..33...",
    "111..2222..33...",
]
SECOND = [
    "222..1133......4",
    "222..1133......4",
    "222..1133......4",
]
WHO = {"author": "ada", "code_version": "0.1"}


def segment(archive, lines, segmentation, mosaic="m"):
    """Publish an instance image, as a segmentation does."""
    ids = np.array([[int(sign) if sign != "." else 0 for sign in line] for line in lines])
    path = archive.mosaic(mosaic)
    if not path.exists():
        write_mosaic(path, np.full(ids.shape, 50, np.uint8), pixel_size_nm=None)
    set_aside(path, segmentation)
    writer = create_instances(
        path, shape=ids.shape, pixel_size_nm=None, attributes={"segmentation": segmentation}
    )
    writer.write_core(Window(0, 0, *ids.shape), ids.astype(np.uint32))
    writer.finish()


def label(archive, labels, segmentation="first-0123", state="accepted", **more):
    rows = [
        {
            "particle_id": particle_id("m", instance),
            "mosaic": "m",
            "instance": instance,
            "segmentation": segmentation,
            "label": name,
            "state": state,
            "source": "person",
            "method": "label",
            "decided_by": "ada",
        }
        for instance, name in labels.items()
    ]
    return commit_labels(
        archive, to_table("labels", rows), method="person", run_id="", **{**WHO, **more}
    )


def short(archive):
    rows = read_labels(archive, with_unlabelled=True).to_pylist()
    return {row["instance"]: (row["segmentation"], row["label"], row["state"]) for row in rows}


@pytest.fixture
def archive(tmp_path):
    """Three labelled particles, and then another segmentation."""
    archive = create_archive(tmp_path / "a")
    segment(archive, FIRST, "first-0123")
    label(archive, {1: "left", 2: "right", 3: "left"})
    segment(archive, SECOND, "second-456")
    return archive


def test_decisions_move_with_their_particles_and_never_by_equal_ids(archive):
    version, (report,) = carry_over(archive, ["m"], **WHO)

    assert short(archive) == {
        1: ("second-456", "right", "flagged"),
        2: ("second-456", "left", "accepted"),
        3: ("second-456", "right", "flagged"),
    }
    assert (report.n_carried, report.n_split, report.n_newcomers, report.n_lost) == (1, 2, 1, 1)
    assert (version.version, version.method) == (1, "carry over")
    assert version.rules["carried"][0]["n_split"] == 2
    assert verify_versions(archive).damaged_version is None


def test_what_was_carried_over_is_not_carried_again(archive):
    carry_over(archive, ["m"], **WHO)

    assert carry_over(archive, ["m"], **WHO) == (None, [])
    assert len(list_versions(archive)) == 2


def test_labels_of_the_published_segmentation_stay(tmp_path):
    archive = create_archive(tmp_path / "a")
    segment(archive, FIRST, "first-0123")
    label(archive, {1: "left"})

    assert carry_over(archive, ["m"], **WHO) == (None, [])


def test_labels_of_the_new_segmentation_stay_beside_those_that_are_carried_over(archive):
    label(archive, {4: "left"}, "second-456", state="given")

    carry_over(archive, ["m"], **WHO)

    assert short(archive)[4] == ("second-456", "left", "given")
    assert short(archive)[2] == ("second-456", "left", "accepted")


def test_without_the_earlier_image_labels_stay_where_they_are_and_it_is_said(archive, capsys):
    (aside,) = (archive.mosaic("m") / "labels").glob("instances-*")
    shutil.rmtree(aside)
    before = short(archive)

    assert carry_labels(archive, ["m"]) == {}

    assert short(archive) == before
    assert "its segmentation first-0123 is gone" in capsys.readouterr().err


def test_what_happened_is_told(archive, capsys):
    told = carry_labels(archive, ["m"])

    assert told == {
        "label_version": 1, "labels_carried": 1, "labels_to_review": 2, "labels_lost": 1,
    }  # fmt: skip
    assert "to review 2 split, 0 merged, 0 unsure; 1 newcomers, 1 lost" in capsys.readouterr().err


def test_a_decision_on_the_new_segmentation_before_the_old_ones_moved_is_refused(archive):
    with pytest.raises(LabelError, match="`tessera segment` carries labels over"):
        label(archive, {2: "right"}, "second-456")

    assert current_version(archive).version == 0


def test_mosaics_without_labels_or_instances_are_passed_over(archive):
    write_mosaic(archive.mosaic("bare"), np.zeros((8, 8), np.uint8), pixel_size_nm=None)

    version, reports = carry_over(archive, ["bare"], **WHO)

    assert (version, reports) == (None, [])
