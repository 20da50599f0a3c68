import os
import time

import numpy as np
import pytest
import tifffile

from pipelines.errors import SettingsError
from services.nightly.watch import look


def write_image(path, *, age_s=1000.0):
    tifffile.imwrite(path, np.ones((4, 4), "uint8"))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return str(path.resolve())


def test_images_are_listed_with_a_stamp_and_other_files_are_not(tmp_path):
    image = write_image(tmp_path / "a.tif")
    (tmp_path / "notes.txt").write_text("dear")
    (tmp_path / ".hidden.tif").write_bytes(b"II*\0")

    watched = look([tmp_path], settle_s=60, now_s=time.time())

    assert list(watched.stamps) == [image]
    assert watched.n_unsettled == 0


def test_the_stamp_changes_with_the_file(tmp_path):
    write_image(tmp_path / "a.tif")
    before = look([tmp_path], settle_s=60, now_s=time.time())
    write_image(tmp_path / "a.tif", age_s=500)
    after = look([tmp_path], settle_s=60, now_s=time.time())

    assert before.stamps.keys() == after.stamps.keys()
    assert before.stamps != after.stamps


def test_an_image_that_may_still_be_written_is_left_for_the_next_night(tmp_path):
    write_image(tmp_path / "old.tif", age_s=61)
    write_image(tmp_path / "young.tif", age_s=30)

    watched = look([tmp_path], settle_s=60, now_s=time.time())

    assert [path.rpartition("/")[2] for path in watched.stamps] == ["old.tif"]
    assert watched.n_unsettled == 1


def test_an_empty_folder_is_no_mistake(tmp_path):
    assert look([tmp_path], settle_s=60, now_s=time.time()).stamps == {}


def test_a_folder_that_is_gone_is_one(tmp_path):
    with pytest.raises(SettingsError, match=r"--watch-dir: folder .*gone does not exist"):
        look([tmp_path / "gone"], settle_s=60, now_s=time.time())
