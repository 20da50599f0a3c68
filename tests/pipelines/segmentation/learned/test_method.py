import shutil

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipelines.errors import SettingsError
from pipelines.mosaic.ome_zarr import open_instances
from pipelines.segmentation.method import Surveyor, load_method, method_identity
from pipelines.segmentation.settings import SegmentationSettings


def texture(shape):
    noise = gaussian_filter(np.random.default_rng(11).normal(size=shape), 5)
    return np.clip(128 + 900 * noise, 0, 255).astype(np.uint8)


def settings_of(model, **more):
    return SegmentationSettings(
        method=f"learned:{model}", min_diameter_px=2.0, min_relative_diameter=0.0, **more
    )


def read(archive, name):
    return np.asarray(open_instances(archive.mosaic(name)).level(0)[...])


def test_tiles_find_what_one_tile_finds(archive, here, model, tmp_path):
    # Objects that are wide in the mosaic make blocks that are wide, too: here they are not.
    settings = settings_of(model, object_px=9.0)
    image = texture((300, 420))
    here.add_mosaic(archive, "m", image)
    here.segment(archive, settings, core_px=512)
    expected = read(archive, "m")
    assert expected.max() > 20

    from pipelines.archive import create_archive

    other = create_archive(tmp_path / "other")
    here.add_mosaic(other, "m", image)
    _, n_tiles = here.segment(other, settings, core_px=128)

    assert n_tiles == 12
    assert np.array_equal(read(other, "m"), expected)


def test_the_width_of_objects_is_estimated_once_for_the_whole_mosaic(archive, here, model):
    here.add_mosaic(archive, "m", texture((160, 200)))

    here.segment(archive, settings_of(model), core_px=64)

    assert read(archive, "m").shape == (160, 200)


def test_a_learned_method_says_how_far_it_reaches(model):
    method = load_method(f"learned:{model}")
    near = method.support_px(settings_of(model, object_px=18.0))
    far = method.support_px(settings_of(model))

    assert isinstance(method, Surveyor)
    assert 256 < near < 512 < far


def test_a_model_is_known_by_its_weights_and_not_by_its_place(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "elsewhere")

    assert method_identity(f"learned:{copy}") == method_identity(f"learned:{model}")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="there is no model folder"):
        load_method(f"learned:{tmp_path / 'nowhere'}")


def test_a_width_out_of_range_is_refused(model):
    with pytest.raises(SettingsError, match="object_px must be 2 to 512, got 1000"):
        settings_of(model, object_px=1000)


def test_what_was_segmented_without_a_width_keeps_its_digest():
    assert "object_px" not in SegmentationSettings().to_json()
    assert SegmentationSettings(object_px=20).to_json()["object_px"] == 20
