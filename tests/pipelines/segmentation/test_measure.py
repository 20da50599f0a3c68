import math

import numpy as np
import pytest
from skimage.measure import regionprops

from pipelines.segmentation.measure import choose_particles, measure_particles
from pipelines.segmentation.overview import GreyLevels
from pipelines.segmentation.settings import SegmentationSettings
from pipelines.segmentation.survey import Survey


def as_heights(image, window):
    return np.where(image > 100, 50, 0).astype(np.uint16)


@pytest.fixture
def image(rng):
    """Tilted ellipses of several sizes, with texture."""
    y, x = np.mgrid[:120, :160]
    image = rng.integers(0, 90, (120, 160)).astype(np.uint8)
    for centre_y, centre_x, a, b, angle in [
        (30, 40, 20, 8, 0.3),
        (80, 60, 12, 12, 0.0),
        (60, 120, 25, 9, -1.1),
        (100, 130, 3, 2, 0.7),
        (3, 100, 9, 4, 1.5),
    ]:
        along = (y - centre_y) * math.cos(angle) + (x - centre_x) * math.sin(angle)
        across = (x - centre_x) * math.cos(angle) - (y - centre_y) * math.sin(angle)
        inside = (along / a) ** 2 + (across / b) ** 2 <= 1
        image[inside] = rng.integers(120, 200, int(inside.sum()))
    return image


SURVEY = Survey(
    bright=True,
    smooth_px=0.0,
    block_px=8,
    backgrounds=np.full((15, 20), 40, dtype=np.uint8),
    thresholds=np.full((15, 20), 100, dtype=np.uint8),
    contrast=100.0,
)


def measured(particles, shape, survey=SURVEY, pixel_size_nm=None, keep=None):
    keep = np.ones(len(particles), dtype=bool) if keep is None else keep
    return measure_particles(
        particles,
        keep,
        survey,
        mosaic="m",
        shape=shape,
        pixel_size_nm=pixel_size_nm,
        segmentation="digest",
    )


@pytest.mark.parametrize("core_px", [16, 50, 500])
def test_measurements_equal_those_of_the_whole_image(in_tiles, image, core_px):
    instances, particles = in_tiles(image, as_heights, core_px=core_px, halo_px=1)
    columns = measured(particles, image.shape)

    assert len(particles) == 5
    for i, region in enumerate(regionprops(instances.astype(int), intensity_image=image)):
        found = {name: values[i] for name, values in columns.items()}
        assert found["area_px"] == region.area
        assert (found["centroid_y_px"], found["centroid_x_px"]) == pytest.approx(region.centroid)
        box = tuple(found[f"bbox_{corner}_px"] for corner in ("y0", "x0", "y1", "x1"))
        assert box == region.bbox
        # scikit-image takes pixels for points; ours are squares of moment 1 / 12.
        for axis in ("major", "minor"):
            theirs = getattr(region, f"axis_{axis}_length")
            assert found[f"{axis}_axis_px"] ** 2 == pytest.approx(theirs**2 + 16 / 12)
        assert found["extent"] == pytest.approx(region.extent)
        assert found["mean_intensity"] == pytest.approx(region.intensity_mean)
        assert found["std_intensity"] == pytest.approx(region.intensity_std)
        assert (found["min_intensity"], found["max_intensity"]) == (
            region.intensity_min,
            region.intensity_max,
        )
        if region.eccentricity > 0.5:
            assert found["orientation_rad"] == pytest.approx(region.orientation, abs=0.02)
            assert found["eccentricity"] == pytest.approx(region.eccentricity, abs=0.02)


def test_the_orientation_points_from_down_towards_the_right(in_tiles):
    image = np.zeros((40, 40), dtype=np.uint8)
    for i in range(5, 35):
        image[i, max(0, i - 2) : i + 2] = 200

    _, particles = in_tiles(image, as_heights, core_px=16, halo_px=1)

    assert measured(particles, image.shape)["orientation_rad"] == pytest.approx(
        [math.pi / 4], abs=0.01
    )


def test_nanometres_follow_from_the_pixel_size(in_tiles, image):
    _, particles = in_tiles(image, as_heights, core_px=64, halo_px=1)

    columns = measured(particles, image.shape, pixel_size_nm=2.5)

    assert columns["area_nm2"] == pytest.approx(columns["area_px"] * 6.25)
    for name in ("equivalent_diameter", "major_axis", "minor_axis"):
        assert columns[f"{name}_nm"] == pytest.approx(columns[f"{name}_px"] * 2.5)


def test_contrast_is_measured_from_the_background_towards_the_particles(in_tiles, image):
    _, particles = in_tiles(image, as_heights, core_px=64, halo_px=1)

    columns = measured(particles, image.shape)

    assert columns["background_intensity"].tolist() == [40] * 5
    assert columns["contrast"] == pytest.approx(columns["mean_intensity"] - 40)
    assert not columns["low_contrast"].any()


def test_a_particle_of_little_contrast_is_flagged(in_tiles, image):
    _, particles = in_tiles(image, as_heights, core_px=64, halo_px=1)
    strict = Survey(
        True, 0.0, 8, SURVEY.backgrounds, SURVEY.thresholds, GreyLevels(), contrast=500.0
    )

    assert measured(particles, image.shape, strict)["low_contrast"].all()


def test_intensities_of_floats_come_back_in_their_own_units(in_tiles, image):
    _, particles = in_tiles(image, as_heights, core_px=64, halo_px=1)
    scaled = Survey(
        True, 0.0, 8, SURVEY.backgrounds, SURVEY.thresholds, GreyLevels(scale=10.0, offset=-3.0)
    )

    plain, floats = measured(particles, image.shape), measured(particles, image.shape, scaled)

    for name in ("mean_intensity", "min_intensity", "background_intensity"):
        assert floats[name] == pytest.approx(plain[name] / 10 - 3)
    assert floats["std_intensity"] == pytest.approx(plain["std_intensity"] / 10)
    assert floats["contrast"] == pytest.approx(plain["contrast"] / 10)


def test_only_particles_within_the_limits_stay(in_tiles, image):
    _, particles = in_tiles(image, as_heights, core_px=64, halo_px=1)

    def stay(pixel_size_nm=2.0, **limits):
        settings = SegmentationSettings(
            **{"min_diameter_px": None, "min_relative_diameter": 0, **limits}
        )
        return choose_particles(particles, image.shape, settings, pixel_size_nm).tolist()

    # In raster order of first pixels: at the edge, two large ones, the disc, the speck.
    assert measured(particles, image.shape)["area_px"].argmin() == 4
    assert stay(min_diameter_px=8) == [True, True, True, True, False]
    assert stay(min_diameter_nm=16) == [True, True, True, True, False]
    assert stay(max_diameter_px=8) == [False, False, False, False, True]
    assert stay(min_relative_diameter=0.3) == [True, True, True, True, False]
    assert stay(clear_border=True) == [False, True, True, True, True]


def test_those_that_stay_are_numbered_without_gaps(in_tiles, image):
    _, particles = in_tiles(image, as_heights, core_px=64, halo_px=1)
    keep = np.array([True, False, True, False, True])

    assert measured(particles, image.shape, keep=keep)["instance"].tolist() == [1, 2, 3]
