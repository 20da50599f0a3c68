import gzip

import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.sweeps.digits import read_idx, study_digits
from pipelines.sweeps.study_set import LEARN, TEST


def idx(values):
    values = np.asarray(values, dtype=np.uint8)
    sizes = b"".join(int(size).to_bytes(4, "big") for size in values.shape)
    return b"\x00\x00\x08" + bytes([values.ndim]) + sizes + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 30), ("t10k", 20)):
        images = rng.integers(0, 256, (n, 28, 28))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images), mtime=0))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 10))
    return tmp_path


def test_values_come_back_in_their_shape(tmp_path):
    (tmp_path / "a").write_bytes(idx([[1, 2, 3], [4, 5, 6]]))

    np.testing.assert_array_equal(read_idx(tmp_path / "a"), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an IDX file"),
        (b"\x00\x00\x0d\x01", "is not an IDX file"),
        (idx([1, 2, 3])[:-1], "must hold 3 values, got 2"),
        (gzip.compress(idx([1, 2]), mtime=0)[:-9], "cannot be read"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, content, said):
    (tmp_path / "digits").write_bytes(content)

    with pytest.raises(SettingsError, match=f"digits {said}"):
        read_idx(tmp_path / "digits")


def test_digits_are_learnt_from_and_tested_on_as_their_files_say(folder):
    study = study_digits(folder, folder / "studies")

    assert (study.groups == LEARN).sum() == 30
    assert (study.groups == TEST).sum() == 20
    assert study.true_labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert not study.has_mirror
    first = study.crops(np.array([0])).read(np.array([0]))
    expected = read_idx(folder / "train-images-idx3-ubyte.gz")[0] / 255
    np.testing.assert_allclose(first[0], expected, atol=1e-3)


def test_a_missing_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()

    with pytest.raises(SettingsError, match=r"--data: .* has no t10k-labels-idx1-ubyte"):
        study_digits(folder, folder / "studies")
