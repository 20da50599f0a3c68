from pathlib import Path

import numpy as np
import pytest

from pipelines.archive import create_archive
from pipelines.errors import ModelError
from pipelines.mosaic.ome_zarr import MosaicInfo
from services.model_fit import check_fit
from services.model_registry import RegisteredModel


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def mosaic(pixel_size_nm, name="m"):
    return MosaicInfo(name, (8, 8), np.dtype("uint8"), pixel_size_nm, "d", 1)


def model(card):
    config = {"classes": ["left"], "pixel_size_nm": [1.0, 8.0], "view": {"in_nm": True}}
    return RegisteredModel("hands", "1", Path(), config, card, "r")


def test_pixels_are_compared_with_those_learnt_from_and_not_those_tested_on(archive):
    learnt_at_2_nm = model({"trained_on": {"pixel_size_nm": [2.0, 2.0]}})

    check_fit(archive, learnt_at_2_nm, [mosaic(1.0), mosaic(4.0)])
    with pytest.raises(ModelError, match="trained on 2 to 2 nm and takes 1 to 4 nm; --force"):
        check_fit(archive, learnt_at_2_nm, [mosaic(2.0), mosaic(4.1)])


def test_a_card_without_pixel_sizes_leaves_it_to_the_config(archive):
    with pytest.raises(ModelError, match="trained on 1 to 8 nm"):
        check_fit(archive, model({}), [mosaic(16.1)])


def test_all_that_does_not_fit_is_said_when_forced(archive, capsys):
    check_fit(archive, model({}), [mosaic(16.1, "a"), mosaic(0.4, "b")], force=True)

    said = capsys.readouterr().err.splitlines()
    assert [line.split(" has ")[0] for line in said] == ["forced: mosaic a", "forced: mosaic b"]
