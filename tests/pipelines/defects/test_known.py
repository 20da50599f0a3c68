import numpy as np
import pytest

from pipelines.defects.known import KnownDefect, known_in_mask, mark, read_known, write_known
from pipelines.errors import LabelError


def write(tmp_path, text):
    path = tmp_path / "defects.csv"
    path.write_text(text)
    return path


def test_points_and_boxes_are_read(tmp_path):
    path = write(
        tmp_path,
        "image,y,x,radius_px,kind,y0,x0,y1,x1\na,3,4,5,vacancy,,,,\nb,,,,,10,20,14,26\n",
    )

    point, box = read_known(path, ["a", "b"])

    assert point == KnownDefect("a", 3, 4, 5, "vacancy")
    # The box's pixels are 10 to 13 and 20 to 25.
    assert box == KnownDefect("b", 11.5, 22.5, 3.0)


def test_what_is_written_is_read_again(tmp_path):
    defects = [KnownDefect("a", 1.25, 2.5, 3.0, "vacancy"), KnownDefect("b", 4.0, 5.0, 6.0)]

    write_known(tmp_path / "d.csv", defects)

    assert read_known(tmp_path / "d.csv", ["a", "b"]) == defects


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,y\na,3\n", "must have the columns image,y,x or image,y0,x0,y1,x1, got image,y"),
        ("image,y,x\nzebra,3,4\n", "name an image that is not there: 'zebra'"),
        ("image,y,x\na,three,4\n", "line 2: not a number"),
        ("image,y,x\na,nan,4\n", "line 2: numbers must be finite"),
        ("image,y0,x0,y1,x1\na,3,4,3,9\n", "line 2: a box must have y0 < y1"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path, text, message):
    with pytest.raises(LabelError, match=message):
        read_known(write(tmp_path, text), ["a"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LabelError, match=r"gone\.csv cannot be read"):
        read_known(tmp_path / "gone.csv", ["a"])


def test_a_patch_holds_a_defect_whose_centre_lies_in_it_and_a_neighbour_is_doubtful():
    origins = np.array([[0, 0], [0, 8], [8, 0], [8, 8]])

    bad, doubtful, kinds = mark(origins, 8, [KnownDefect("a", 4.0, 6.0, 3.0, "vacancy")])

    assert bad.tolist() == [True, False, False, False]
    assert doubtful.tolist() == [False, True, False, False]
    assert kinds.tolist() == ["vacancy", "", "", ""]


@pytest.mark.parametrize("x", [7.4, 7.5, 8.0])
def test_no_defect_is_lost_between_patches(x):
    bad, _, _ = mark(np.array([[0, 0], [0, 8]]), 8, [KnownDefect("a", 3.0, x, 1.0)])

    assert bad.sum() == 1


def test_objects_of_a_mask_become_defects():
    mask = np.zeros((10, 10), bool)
    mask[2:5, 3:6] = mask[8, 8] = True

    first, second = known_in_mask("a", mask)

    assert (first.y, first.x, first.radius_px) == (3.0, 4.0, 1.5)
    assert (second.y, second.x, second.radius_px) == (8.0, 8.0, 0.5)
