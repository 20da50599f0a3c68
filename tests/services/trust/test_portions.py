import numpy as np
import pyarrow.compute as pc
import pytest

from pipelines.archive import particle_id
from pipelines.tables import read_rows
from services.trust.entry import enter_trusted
from services.trust.portions import (
    COLUMNS,
    JUDGE,
    LEARN,
    draw_portions,
    find_portions,
    read_all_trusted,
    read_trusted,
)

N = 12
#: Of the first particles of mosaic m. Were these to change, what judged would be learnt from.
PORTIONS_OF_M = [JUDGE, JUDGE, LEARN, JUDGE, JUDGE, JUDGE, LEARN, LEARN]


def portions_now(archive):
    particles = read_rows(archive, "particles", columns=COLUMNS).sort_by("particle_id")
    return find_portions(archive, particles).tolist()


@pytest.fixture
def checked(mosaics, sheet):
    """Twelve particles, of which the first six were checked."""
    archive = mosaics.segment("m", "s1", N)
    enter_trusted(archive, sheet({("m", i): "left" for i in range(1, 7)}), checked_by="ada")
    return archive


def test_a_portion_depends_on_the_id_alone_and_half_of_them_judge():
    ids = np.arange(10_000) + (5 << 32)

    drawn = draw_portions(ids)

    assert (draw_portions(ids[::-1]) == drawn[::-1]).all()
    assert draw_portions(ids[:1]) == drawn[0]
    # Seven standard deviations of a fair coin.
    assert abs((drawn == JUDGE).sum() - 5000) < 350


def test_portions_never_change_from_one_release_to_the_next():
    ids = np.array([particle_id("m", i) for i in range(1, 9)])

    assert draw_portions(ids).tolist() == PORTIONS_OF_M


def test_checked_particles_have_the_portion_of_their_id_and_others_none(checked):
    ids = np.array([particle_id("m", i) for i in range(1, 7)])

    assert portions_now(checked) == [*draw_portions(ids).tolist(), *[""] * 6]


def test_each_portion_can_be_read_by_itself(checked):
    learn, judge = read_trusted(checked, LEARN), read_trusted(checked, JUDGE)

    assert learn.num_rows + judge.num_rows == 6
    assert learn.num_rows
    assert judge.num_rows
    assert pc.unique(judge["portion"]).to_pylist() == [JUDGE]


def test_after_a_new_segmentation_what_lies_in_their_place_keeps_their_portion(checked, mosaics):
    before = portions_now(checked)

    # Fewer particles, moved by a few pixels, and so under other ids: the first is gone.
    mosaics.segment("m", "s2", N - 1, shift_px=43)

    assert portions_now(checked) == before[1:]
    assert read_trusted(checked).num_rows == 0
    assert read_all_trusted(checked).num_rows == 6


def test_what_overlaps_both_portions_judges(checked, mosaics):
    wide = {"bbox_x0_px": [0], "bbox_x1_px": [1000]}

    mosaics.segment("m", "s2", 1, **wide)

    assert portions_now(checked) == [JUDGE]


def test_a_particle_whose_box_is_not_known_counts_as_judging(checked, mosaics):
    mosaics.segment("m", "s2", 1, bbox_x0_px=[None], bbox_x1_px=[None])

    assert portions_now(checked) == [JUDGE]


def test_an_equal_id_of_a_new_segmentation_elsewhere_is_another_particle(checked, mosaics):
    mosaics.segment("m", "s2", 2, shift_px=6 * 40)

    assert portions_now(checked) == ["", ""]


def test_what_is_checked_anew_in_the_place_of_a_judge_judges(checked, mosaics, sheet):
    before = portions_now(checked)
    mosaics.segment("m", "s2", N, shift_px=3)

    enter_trusted(checked, sheet({("m", i): "left" for i in range(1, 7)}), checked_by="bob")

    found = read_trusted(checked)
    assert found["portion"].to_pylist() == before[:6]


def test_without_trusted_labels_nobody_has_a_portion(mosaics):
    archive = mosaics.segment("m", "s1", 3)

    assert portions_now(archive) == ["", "", ""]
    assert read_trusted(archive).num_rows == 0
