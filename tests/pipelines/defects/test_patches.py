import numpy as np
import pytest

from pipelines.defects.patches import (
    assemble,
    cut,
    is_constant,
    make_patches,
    normalise,
    plan_grid,
    turn,
)
from pipelines.errors import SettingsError

GLYPH = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], np.float32)


@pytest.mark.parametrize("shape", [(8, 8), (9, 17), (30, 8)])
@pytest.mark.parametrize("stride_px", [3, 8])
def test_every_pixel_is_in_a_patch_and_no_patch_hangs_over(shape, stride_px):
    seen = np.zeros(shape, int)

    for y, x in plan_grid(shape, patch_px=8, stride_px=stride_px):
        assert seen[y : y + 8, x : x + 8].shape == (8, 8)
        seen[y : y + 8, x : x + 8] += 1

    assert seen.min() >= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patch_px": 20, "stride_px": 20}, "--patch-px must not exceed the image, got 20 .* 10 x"),
        ({"patch_px": 4, "stride_px": 5}, "--stride-px must be 1 to --patch-px"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        plan_grid((10, 30), **given)


def test_patches_are_cut_where_the_grid_says():
    image = np.arange(30).reshape(5, 6)

    patches = cut(image, np.array([[0, 0], [3, 4]]), 2)

    assert patches.tolist() == [[[0, 1], [6, 7]], [[22, 23], [28, 29]]]


def test_patches_with_nan_are_refused_and_counted():
    pixels = np.zeros((3, 4, 4))
    pixels[1, 2, 2] = np.nan

    with pytest.raises(SettingsError, match="must be finite, and 1 are not; first 1"):
        make_patches(pixels)


def test_normalising_forgets_brightness_and_contrast():
    patches = np.stack([GLYPH, 7 + 3 * GLYPH])

    normalised = normalise(patches)

    assert np.allclose(normalised[0], normalised[1], atol=1e-5)
    assert normalised[0].std() == pytest.approx(1)


def test_a_constant_patch_becomes_nothing_not_nan():
    patches = np.stack([np.full((3, 3), 40000.1, np.float32), GLYPH])

    assert is_constant(patches).tolist() == [True, False]
    assert (normalise(patches)[0] == 0).all()


def test_turning_keeps_the_hand_where_it_counts(rng):
    turned = turn(np.stack([GLYPH] * 40), keep_hand=True, rng=rng)
    mirrored = turn(np.stack([GLYPH] * 40), keep_hand=False, rng=rng)

    proper = {np.rot90(GLYPH, k).tobytes() for k in range(4)}
    assert {patch.tobytes() for patch in turned} == proper
    assert not {patch.tobytes() for patch in mirrored} <= proper


def test_patches_of_an_image_are_put_together_again():
    image = np.arange(63, dtype=np.float32).reshape(7, 9)
    origins = plan_grid(image.shape, patch_px=4, stride_px=4)
    patches = make_patches(cut(image, origins, 4), origins_yx=origins)

    assert np.array_equal(assemble(patches), image)
    assert assemble(patches.take(np.array([0, 4]))) is None
