import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.records import Window
from pipelines.segmentation.method import LateMethod, load_method, method_identity, method_names
from pipelines.segmentation.settings import SegmentationSettings, check_tiling
from pipelines.segmentation.survey import Survey

OWN = """
import numpy as np

class Bright:
    version = {version}

    def support_px(self, settings):
        return 1

    def lifts(self, overview):
        return 9.0

    def heights(self, image, window, survey, settings):
        return np.where(image > 200, 100, 0).astype(np.uint16)

METHOD = Bright()
NOT_ONE = 3
"""


def test_the_methods_are_the_files_of_the_folder():
    assert method_names() == ["cellpose", "intensity", "local", "otsu", "stardist"]
    # The other two need a model each.
    for name in ("intensity", "local", "otsu"):
        assert load_method(name).version >= 1


def test_a_file_of_ones_own_is_a_method(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN.format(version=3))

    method = load_method(f"{path}:METHOD")

    assert method.version == 3
    assert method.support_px(SegmentationSettings()) == 1


def test_a_changed_file_is_another_method(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN.format(version=3))
    before = method_identity(f"{path}:METHOD")
    path.write_text(OWN.format(version=3).replace("200", "210"))

    assert method_identity(f"{path}:METHOD") != before


def test_a_late_method_is_loaded_when_something_is_asked_of_it():
    late = LateMethod("otsu")
    absent = LateMethod("magic")

    assert late.support_px(SegmentationSettings()) == load_method("otsu").support_px(
        SegmentationSettings()
    )
    with pytest.raises(SettingsError, match="got 'magic'"):
        absent.support_px(SegmentationSettings())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "magic",
            "must be one of cellpose, intensity, .* or file.py:NAME, got 'magic'",
        ),
        ("otsu:weights", "method otsu takes no model, got 'otsu:weights'"),
        ("gone.py:METHOD", "file gone.py does not exist"),
        ("{own}:NOT_ONE", "is not a segmentation method"),
        ("{own}:MISSING", "is not a segmentation method"),
        ("{broken}:METHOD", "fails: ZeroDivisionError"),
    ],
)
def test_what_is_no_method_is_refused(tmp_path, name, message):
    (tmp_path / "own.py").write_text(OWN.format(version=1))
    (tmp_path / "broken.py").write_text("1 / 0")
    name = name.format(own=tmp_path / "own.py", broken=tmp_path / "broken.py")

    with pytest.raises(SettingsError, match=message):
        load_method(name)


def blank(thresholds: int, contrast: float = 64.0) -> Survey:
    one = np.array([[thresholds]], dtype=np.uint8)
    return Survey(True, 0.0, 64, one - 20, one, contrast=contrast)


@pytest.mark.parametrize("name", ["otsu", "local", "intensity"])
def test_heights_do_not_depend_on_where_the_window_begins(rng, name):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=(220, 240)), 4)
    image = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    thresholds = rng.integers(120, 140, (4, 4)).astype(np.uint8)
    survey = Survey(True, 1.0, 64, thresholds - 20, thresholds, contrast=64.0)
    settings = SegmentationSettings(max_radius_px=10, fill_holes_px=6, smooth_px=1.0)
    method = load_method(name)
    support = method.support_px(settings)
    whole = method.heights(image, Window(0, 0, 220, 240), survey, settings)

    for window in (Window(0, 0, 130, 140), Window(37, 41, 200, 233), Window(80, 3, 220, 240)):
        part = method.heights(image[window.slices], window, survey, settings)
        y0, x0 = (support if edge else 0 for edge in window[:2])
        y1 = window.shape[0] - (support if window.y1 < 220 else 0)
        x1 = window.shape[1] - (support if window.x1 < 240 else 0)
        assert np.array_equal(part[y0:y1, x0:x1], whole[window.slices][y0:y1, x0:x1])


def test_intensity_splits_what_has_two_bright_middles():
    image = np.full((9, 15), 10, dtype=np.uint8)
    image[2:7, 2:13] = [120, 140, 160, 140, 120, 110, 120, 140, 160, 140, 120]
    settings = SegmentationSettings(method="intensity", smooth_px=0.0, min_diameter_px=None)

    heights = load_method("intensity").heights(image, Window(0, 0, 9, 15), blank(100), settings)

    # Twice the contrast above the threshold would be 64 pixels' worth of 16 units.
    assert heights[4].tolist() == [
        0, 0, 160, 320, 480, 320, 160, 80, 160, 320, 480, 320, 160, 0, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(("core_px", "halo_px"), [(64, 10), (2048, None), (16384, 99)])
def test_a_halo_that_holds_the_support_is_taken(core_px, halo_px):
    assert check_tiling(core_px, halo_px, support_px=10) == (halo_px or 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"smooth_px": -1.0}, "smooth_px must not be negative, got -1.0"),
        ({"max_radius_px": 256}, "max_radius_px must be 1 to 255, got 256"),
        ({"split_fraction": 1.5}, "split_fraction must be 0 to 1, got 1.5"),
        ({"threshold": 0.0}, "threshold must be positive, got 0.0"),
        ({"min_diameter_nm": 5.0, "max_diameter_nm": 4.0}, "must not exceed max_diameter_nm"),
    ],
)
def test_settings_outside_their_range_are_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        SegmentationSettings(**given)
