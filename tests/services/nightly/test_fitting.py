import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import write_mosaic
from services.model_registry import RegisteredModel
from services.nightly.fitting import unfit_mosaics


@pytest.fixture
def archive(tmp_path):
    """Five mosaics: two of them of pixels that are far too large, one of unknown size."""
    archive = create_archive(tmp_path / "a")
    for name, size_nm in (("a", 2.0), ("b", 9.0), ("c", 2.2), ("d", None), ("e", 9.0)):
        write_mosaic(archive.mosaic(name), np.zeros((8, 8), np.uint8), pixel_size_nm=size_nm)
    return archive


def model(tmp_path, low_nm, high_nm):
    config = {
        "classes": ["left", "right"],
        "pixel_size_nm": [low_nm, high_nm],
        "view": {"in_nm": True},
    }
    return RegisteredModel("m", "1", tmp_path, config, {}, "run")


def test_mosaics_of_other_pixel_sizes_are_named_and_the_others_are_not(archive, tmp_path):
    found = unfit_mosaics(archive, [model(tmp_path, 2.0, 2.0)], ["a", "b", "c", "d", "e"])

    assert found == ["b", "d", "e"]


def test_what_one_of_two_models_does_not_know_is_named(archive, tmp_path):
    models = [model(tmp_path, 2.0, 9.0), model(tmp_path, 8.0, 9.0)]

    assert unfit_mosaics(archive, models, ["a", "b", "c"]) == ["a", "c"]


def test_where_all_fit_and_where_there_is_nothing_none_is_named(archive, tmp_path):
    assert unfit_mosaics(archive, [model(tmp_path, 2.0, 2.0)], ["a", "c"]) == []
    assert unfit_mosaics(archive, [model(tmp_path, 2.0, 2.0)], []) == []
    assert unfit_mosaics(archive, [], ["a"]) == []
