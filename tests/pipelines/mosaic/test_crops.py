import math

import cv2
import numpy as np
import pytest

from pipelines.mosaic.crops import CropSpec, cut_crop, group_by_block, read_crops, scale_crops
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic


def test_the_glyph_has_a_hand_and_its_mirror_image_the_other(scene, hand):
    image = scene((48, 48), (23.5, 23.5))

    assert hand(image) == 1
    assert hand(image[:, ::-1]) == hand(image[::-1]) == hand(image.T) == -1
    assert hand(image[::-1, ::-1]) == hand(np.rot90(image)) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("angle_deg", [-89, -40, 0, 30, 90])
@pytest.mark.parametrize("size_px", [24, 48, 96])
def test_no_crop_is_ever_a_mirror_image(dtype, order, angle_deg, size_px, scene, hand):
    image = scene((120, 140), (60, 70), angle_deg=angle_deg, dtype=dtype, order=order)

    crop = cut_crop(
        image, (60, 70), field_px=48, size_px=size_px, rotation_rad=math.radians(angle_deg)
    )

    assert crop.shape == (size_px, size_px)
    assert hand(crop) == 1
    assert hand(crop[:, ::-1]) == -1


@pytest.mark.parametrize("view", ["flipped", "transposed", "big endian"])
def test_arrays_with_odd_strides_are_cut_as_they_index(view, scene):
    image = scene((100, 100), (50, 50), dtype=np.uint16)
    odd = {
        "flipped": image[::-1, ::-1][::-1, ::-1],
        "transposed": image.T.copy().T,
        "big endian": image.astype(">u2"),
    }[view]

    crop = cut_crop(odd, (50, 50), field_px=48, size_px=48)

    np.testing.assert_array_equal(crop, cut_crop(image, (50, 50), field_px=48, size_px=48))


def test_a_crop_at_scale_one_is_the_pixels_themselves():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)

    crop = cut_crop(image, (4, 5), field_px=3, size_px=3)

    np.testing.assert_array_equal(crop, image[3:6, 4:7])


def test_a_positive_orientation_points_down_and_to_the_right():
    image = np.zeros((21, 21), np.float32)
    for step in range(9):
        image[10 + step, 10 + step] = 1  # from the centre along (dy, dx) = (1, 1)

    crop = cut_crop(image, (10, 10), field_px=15, size_px=15, rotation_rad=math.radians(45))

    assert crop[8:, 6:9].sum() > 0.8 * crop.sum()


def test_alignment_turns_the_major_axis_upright(scene):
    crops = []
    for angle_deg in (-75, -20, 0, 50):
        image = scene((120, 120), (60, 60), angle_deg=angle_deg)
        angle = math.radians(angle_deg)
        crops.append(cut_crop(image, (60, 60), field_px=60, size_px=60, rotation_rad=angle))

    for crop in crops:
        assert np.abs(crop - crops[2]).mean() < 0.08 * np.ptp(crops[2])


def test_a_coarser_crop_averages_the_noise(rng):
    noise = rng.normal(100, 20, (64, 64)).astype(np.float32)

    crop = cut_crop(noise, (31.5, 31.5), field_px=60, size_px=30)

    assert crop.std() < 12


@pytest.mark.parametrize("padding", ["constant", "reflect"])
def test_beyond_the_edge_lies_what_was_asked_for(padding):
    image = np.full((40, 40), 50, np.uint8)
    image[:, :2] = 200

    crop = cut_crop(image, (20, 1), field_px=9, size_px=9, padding=padding)

    assert (crop[:, 2] == (50 if padding == "constant" else 200)).all()
    np.testing.assert_array_equal(crop[:, 3:], image[16:25, :6])


def test_padding_with_a_constant_shows_no_second_glyph(scene):
    # The glyph ends 2 pixels from the edge; reflected, its mirror image would stand beside it.
    image = scene((100, 100), (50, 24))

    crop = cut_crop(image, (50, 10), field_px=80, size_px=80)

    assert (crop[:, :28] == 20).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("field_px", [48, 50, 101])
def test_crops_from_storage_keep_the_hand_at_chunk_borders_and_edges(
    tmp_path, dtype, field_px, scene, hand
):
    # Glyphs on a corner of chunks (512), of blocks (1024), and against the mosaic's corner.
    centres = np.array([[512, 512], [1024, 300], [1024, 1024], [26, 26], [600, 1195]], float)
    angles = np.array([0, 35, -60, 80, 5], float)
    image = np.full((1100, 1220), 20, dtype)
    for (y, x), angle in zip(centres.astype(int), angles, strict=True):
        part = image[max(0, y - 60) : y + 60, max(0, x - 60) : x + 60]
        drawn = scene((120, 120), (60, 60), angle_deg=angle, dtype=dtype)
        cut = drawn[max(0, 60 - y) :, max(0, 60 - x) :][: part.shape[0], : part.shape[1]]
        np.maximum(part, cut, out=part)
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)
    mosaic = open_mosaic(tmp_path / "m.ome.zarr")

    plain = read_crops(mosaic, centres, np.radians(angles), CropSpec(48), field_px=field_px)
    aligned = read_crops(
        mosaic, centres, np.radians(angles), CropSpec(48, aligned=True), field_px=field_px
    )

    zoom = slice(None) if field_px <= 50 else slice(12, 36)
    for crop in [*plain, *aligned]:
        assert hand(crop[zoom, zoom]) == 1
    middle = aligned[:, :, 20:28].mean(axis=(1, 2))
    assert (middle > aligned.mean(axis=(1, 2))).all()


def test_crops_from_a_coarser_level_lie_where_those_of_the_finest_do(tmp_path, scene):
    image = scene((1100, 1100), (403, 398), scale=32)
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)
    mosaic = open_mosaic(tmp_path / "m.ome.zarr")
    centre = np.array([[402.5, 397.5]])

    coarse = read_crops(mosaic, centre, np.zeros(1), CropSpec(48), field_px=400)[0]
    fine = cv2.resize(image[203:603, 198:598], (48, 48), interpolation=cv2.INTER_AREA)

    assert mosaic.info.n_levels > 2
    for axis in (0, 1):
        places = [np.average(np.arange(48), weights=c.sum(axis=axis)) for c in (coarse, fine)]
        assert places[0] == pytest.approx(places[1], abs=0.02)


def test_a_crop_does_not_depend_on_its_company(tmp_path, rng):
    image = rng.integers(0, 255, (300, 300), dtype=np.uint8)
    write_mosaic(tmp_path / "m.ome.zarr", image, pixel_size_nm=None)
    mosaic = open_mosaic(tmp_path / "m.ome.zarr")
    centres = np.array([[5.0, 5.0], [150.3, 120.8], [290.0, 297.0]])
    angles = np.array([0.3, -1.0, 1.2])
    spec = CropSpec(32, aligned=True)

    together = read_crops(mosaic, centres, angles, spec, field_px=60)
    alone = [read_crops(mosaic, centres[[i]], angles[[i]], spec, field_px=60)[0] for i in range(3)]

    np.testing.assert_array_equal(together, alone)


def test_particles_are_grouped_by_the_block_they_lie_in():
    centres = np.array([[2000.0, 10.0], [3.0, 3.0], [5.0, 1500.0], [1023.9, 1023.9]])

    groups = group_by_block(centres)

    assert [group.tolist() for group in groups] == [[1, 3], [2], [0]]


def test_scaling_forgets_gain_and_offset(rng):
    crops = rng.normal(0, 1, (3, 16, 16)).astype(np.float32)
    gains = np.array([1, 7, 300], np.float32)[:, None, None]

    scaled = scale_crops(crops * gains + 40 * gains)

    np.testing.assert_allclose(scaled, scale_crops(crops), atol=1e-4)
    # Of 256 values the fourth from either end are the 1st and the 99th percentile.
    assert np.sort(scaled[0], axis=None)[[3, -4]] == pytest.approx([-1, 1], abs=1e-5)


def test_a_hot_pixel_is_clipped_and_a_flat_crop_is_zero():
    crops = np.full((2, 16, 16), 7, np.uint16)
    crops[0] += np.arange(256, dtype=np.uint16).reshape(16, 16) % 5
    crops[0, 3, 3] = 60_000

    scaled = scale_crops(crops)

    assert scaled[0].max() == 3
    assert (scaled[1] == 0).all()


def test_no_crops_give_no_crops(tmp_path):
    write_mosaic(tmp_path / "m.ome.zarr", np.zeros((50, 50), np.uint8), pixel_size_nm=None)

    crops = read_crops(
        open_mosaic(tmp_path / "m.ome.zarr"), np.empty((0, 2)), np.empty(0), CropSpec(8), field_px=8
    )

    assert scale_crops(crops).shape == (0, 8, 8)


@pytest.mark.parametrize(
    "wrong", [{"size_px": 0}, {"size_px": 8, "padding": "wrap"}], ids=["size", "padding"]
)
def test_a_wrong_spec_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        CropSpec(**wrong)
