import pytest

from pipelines.errors import SettingsError
from pipelines.tables import read_rows
from services.trust import entry
from services.trust.entry import carry_trusted, enter_trusted
from services.trust.portions import read_all_trusted, read_trusted


@pytest.fixture
def archive(mosaics):
    return mosaics.segment("m", "s1", 6)


def labels(archive):
    return {row["instance"]: row["label"] for row in read_trusted(archive).to_pylist()}


def test_filled_in_labels_are_entered_and_blank_lines_are_left(archive, sheet):
    path = sheet({("m", 1): "left", ("m", 2): "", ("m", 3): "undeterminable"})

    entered = enter_trusted(archive, path, checked_by="ada")

    assert labels(archive) == {1: "left", 3: None}
    assert (entered.n_new, entered.n_blank, entered.n_learn + entered.n_judge) == (2, 1, 2)
    row = read_trusted(archive).to_pylist()[0]
    assert (row["checked_by"], row["origin"], row["bbox_x1_px"]) == ("ada", row["particle_id"], 24)


def test_a_particle_can_be_told_by_its_id_alone(archive, tmp_path):
    ids = read_rows(archive, "particles")["particle_id"].to_pylist()
    path = tmp_path / "ids.csv"
    path.write_text(f"particle_id,label\n{ids[4]},right\n")

    enter_trusted(archive, path, checked_by="ada")

    assert labels(archive) == {5: "right"}


def test_the_same_sheet_twice_enters_nothing_new(archive, sheet):
    path = sheet({("m", 1): "left"})
    enter_trusted(archive, path, checked_by="ada")

    again = enter_trusted(archive, path, checked_by="bob")

    assert (again.n_new, again.n_changed, again.n_same) == (0, 0, 1)
    assert read_trusted(archive)["checked_by"].to_pylist() == ["ada"]


def test_a_second_look_corrects_the_label_and_keeps_the_portion(archive, sheet):
    enter_trusted(archive, sheet({("m", 1): "left"}), checked_by="ada")
    (before,) = read_trusted(archive).to_pylist()

    entered = enter_trusted(archive, sheet({("m", 1): "right"}), checked_by="bob")

    (after,) = read_trusted(archive).to_pylist()
    assert entered.n_changed == 1
    assert (after["label"], after["checked_by"]) == ("right", "bob")
    assert (after["portion"], after["origin"]) == (before["portion"], before["origin"])


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ({("m", 9): "left"}, {}, r"line 2: archive .* has no particle 9 of mosaic m"),
        ({("m", 1): "<left>"}, {}, "line 2: a class is named by .*, got '<left>'"),
        ({("m", 1): ""}, {}, "no line of .*sheet.csv has a label"),
        ({("m", 1): "left"}, {"segmentation": "s0"}, r"segmented anew since \(s1\)"),
        ({("m", 1): "left"}, {"portion": "learn"}, "line 1: there is no column 'portion'"),
    ],
)
def test_a_sheet_that_cannot_be_is_refused_and_nothing_is_entered(
    archive, sheet, given, more, message
):
    with pytest.raises(SettingsError, match=message):
        enter_trusted(archive, sheet(given, **more), checked_by="ada")

    assert read_all_trusted(archive).num_rows == 0


class SamePlaces:
    """A succession in which some instances are the same particle."""

    def __init__(self, pairs):
        self._pairs = pairs

    def same(self):
        return self._pairs


def test_trusted_labels_move_with_the_particles_that_are_the_same(
    archive, mosaics, sheet, monkeypatch
):
    enter_trusted(archive, sheet({("m", 2): "left", ("m", 3): "right"}), checked_by="ada")
    (first, _) = read_trusted(archive).to_pylist()
    mosaics.segment("m", "s2", 5, shift_px=40)
    monkeypatch.setattr(entry, "find_successors", lambda *where: SamePlaces({2: 1}))

    assert carry_trusted(archive, ["m"]) == 1

    (found,) = read_trusted(archive).to_pylist()
    assert (found["instance"], found["segmentation"], found["label"]) == (1, "s2", "left")
    assert (found["portion"], found["origin"]) == (first["portion"], first["origin"])
    assert found["bbox_x0_px"] == 40
    assert carry_trusted(archive, ["m"]) == 0


def test_without_the_earlier_instances_nothing_moves(archive, mosaics, sheet):
    enter_trusted(archive, sheet({("m", 2): "left"}), checked_by="ada")
    mosaics.segment("m", "s2", 5)

    assert carry_trusted(archive, ["m"]) == 0
