import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.mosaic.orientation import (
    known_orientation,
    show,
    shown_shape,
    stored_window,
    swaps_axes,
)
from pipelines.records import Window

ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_are_shown_as_they_must_be(glyph, stored, orientation):
    pixels = stored(glyph, orientation)

    assert (show(pixels, orientation) == glyph).all()
    assert shown_shape(pixels.shape, orientation) == glyph.shape


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_are_shown_as_another_program_shows_them(glyph, stored, orientation):
    picture = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored(glyph, orientation)).save(picture, "PNG", exif=exif)

    other = np.asarray(ImageOps.exif_transpose(Image.open(picture)))

    assert (show(stored(glyph, orientation), orientation) == other).all()


@pytest.mark.parametrize("orientation", [2, 4, 5, 7])
def test_forgetting_a_mirroring_orientation_would_flip_handedness(glyph, stored, orientation):
    pixels = stored(glyph, orientation)

    turned = [np.rot90(glyph, k) for k in range(4)]

    assert not any(np.array_equal(pixels, other) for other in turned)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("window", [(0, 0, 12, 16), (0, 0, 1, 1), (3, 2, 9, 16), (11, 5, 12, 7)])
def test_a_shown_window_is_found_in_the_stored_image(glyph, stored, orientation, window):
    pixels = stored(glyph, orientation)

    part = pixels[stored_window(Window(*window), pixels.shape, orientation).slices]

    assert (show(part, orientation) == glyph[Window(*window).slices]).all()


def test_colour_samples_stay_together(rng, stored):
    colours = rng.integers(0, 255, (4, 6, 3), dtype="uint8")

    assert (show(stored(colours, 6), 6) == colours).all()


@pytest.mark.parametrize("value", [None, 0, 9, -3, "6", b"\x06", 6.5, (6, 1)])
def test_an_orientation_that_means_nothing_changes_nothing(value):
    assert known_orientation(value) == 1


def test_four_orientations_swap_rows_and_columns():
    assert [o for o in ORIENTATIONS if swaps_axes(o)] == [5, 6, 7, 8]
