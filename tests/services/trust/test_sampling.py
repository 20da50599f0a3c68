import csv
from collections import Counter

import pytest

from pipelines.archive import particle_id
from pipelines.errors import ArchiveError
from pipelines.tables import to_table
from services.label_store import commit_labels
from services.trust.entry import enter_trusted
from services.trust.sampling import SHEET, draw_sample, write_sheet


def label(archive, mosaic, segmentation, labels):
    rows = [
        {
            "particle_id": particle_id(mosaic, i),
            "mosaic": mosaic,
            "instance": i,
            "segmentation": segmentation,
            "label": name,
            "state": "given",
            "source": "rules",
            "method": "majority",
        }
        for i, name in enumerate(labels, start=1)
    ]
    commit_labels(
        archive, to_table("labels", rows), method="rules", author="ada", run_id="",
        code_version="1",
    )  # fmt: skip


@pytest.fixture
def archive(mosaics):
    """Sixty particles of m, three of them left; nine of n without labels."""
    archive = mosaics.segment("m", "s1", 60)
    mosaics.segment("n", "s1", 9)
    label(archive, "m", "s1", ["right"] * 57 + ["left"] * 3)
    return archive


def test_rare_kinds_are_drawn_as_often_as_common_ones_as_far_as_there_are_any(archive):
    sample = draw_sample(archive, ["m", "n"], 21, seed=0)

    kinds = Counter(row["stratum"] for row in sample.rows.to_pylist())
    # All three of the rare class are large; the others share alike.
    assert kinds["left, large, m"] == 3
    assert set(kinds.values()) == {3}
    assert (sample.n_strata, sample.n_strata_drawn) == (7, 7)


def test_another_seed_draws_others_and_the_same_seed_the_same(archive):
    ids = [
        draw_sample(archive, ["m"], 10, seed=s).rows["particle_id"].to_pylist() for s in (0, 0, 1)
    ]

    assert ids[0] == ids[1] != ids[2]


def test_what_was_checked_already_is_not_drawn_again(archive, sheet):
    enter_trusted(archive, sheet({("n", i): "left" for i in range(1, 8)}), checked_by="ada")

    sample = draw_sample(archive, ["n"], 100, seed=0)

    assert sorted(sample.rows["instance"].to_pylist()) == [8, 9]


def test_flagged_particles_are_not_drawn(mosaics):
    archive = mosaics.segment("m", "s1", 2, touches_edge=[True, False])

    assert draw_sample(archive, ["m"], 9, seed=0).rows["instance"].to_pylist() == [2]


def test_labels_of_an_earlier_segmentation_say_nothing_of_these_particles(archive, mosaics):
    mosaics.segment("m", "s2", 60)

    sample = draw_sample(archive, ["m"], 60, seed=0)

    assert {row["stratum"].split(",")[0] for row in sample.rows.to_pylist()} == {"unlabelled"}


def test_with_nothing_to_check_it_is_said(mosaics):
    archive = mosaics.segment("m", "s1", 1, low_contrast=[True])

    with pytest.raises(ArchiveError, match="has no particle to check in m"):
        draw_sample(archive, ["m"], 9, seed=0)


def test_the_sheet_does_not_show_the_given_labels_and_can_be_filled_in(archive, tmp_path):
    path = tmp_path / "new" / "sheet.csv"
    write_sheet(draw_sample(archive, ["m"], 5, seed=0), path)

    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert tuple(lines[0]) == SHEET
    assert [line["number"] for line in lines] == ["1", "2", "3", "4", "5"]
    assert {line["label"] for line in lines} == {""}

    path.write_text(path.read_text().replace(",s1,,", ",s1,left,"))
    assert enter_trusted(archive, path, checked_by="ada").n_new == 5
