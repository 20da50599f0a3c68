import numpy as np
import pytest

from pipelines.errors import SettingsError
from services.audit_file import read_audit

IDS = np.array([-7, 12, 2**61])
CLASSES = ["left", "right"]


@pytest.fixture
def read(tmp_path):
    def read(text, encoding="utf-8"):
        path = tmp_path / "audit.csv"
        path.write_bytes(text.encode(encoding))
        return read_audit(path, IDS, CLASSES).tolist()

    return read


def test_labels_become_indices_and_undeterminable_the_next_one(read):
    said = read(f"reviewer,particle_id,label\nada,{2**61},undeterminable\nada,-7, right \n")

    assert said == [1, -1, 2]


def test_particles_that_are_not_in_question_are_passed_over(read):
    assert read("particle_id,label\n12,left\n99,right\n") == [-1, 0, -1]


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_name(read):
    assert read("particle_id,label\r\n12,left\r\n", "utf-8-sig") == [-1, 0, -1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must have the columns particle_id,label and a row"),
        ("particle_id,label\n", "must have the columns particle_id,label and a row"),
        ("id,label\n12,left\n", "must have the columns particle_id,label"),
        ("particle_id,label\nx,left\n", "line 2: particle_id must be a whole number, got 'x'"),
        ("particle_id,label\n12,l\n", "line 2: label must be one of left, right, undetermin.*'l'"),
        ("particle_id,label\n12\n", "line 2: label must be one of left, right, .*got ''"),
        ("particle_id,label\n12,left\n12,left\n", "line 3: particle 12 was reviewed above"),
        ("particle_id,label\n99,left\n", "none of the 1 particles of .* has a label"),
    ],
)
def test_what_cannot_be_an_audit_is_refused(read, text, problem):
    with pytest.raises(SettingsError, match=problem):
        read(text)


def test_a_file_that_is_not_text_is_refused(read):
    with pytest.raises(SettingsError, match="cannot be read"):
        read("particle_id,label\n12,lefté\n", "latin-1")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"--audit: .*nothing\.csv does not exist"):
        read_audit(tmp_path / "nothing.csv", IDS, CLASSES)
