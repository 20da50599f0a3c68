import numpy as np
import pytest

from pipelines.errors import MosaicError
from pipelines.mosaic.grey import apply_table, grey_table, luma, plan_grey, stretch
from pipelines.mosaic.raw_image import RawImage


def raw(pixels, **known):
    colour = known.pop("colour", "rgb" if pixels.ndim == 3 else "grey")
    return RawImage(
        shape=pixels.shape[:2],
        dtype=pixels.dtype,
        read=lambda window: pixels[window.slices],
        format="test",
        colour=colour,
        **known,
    )


def grey(pixels, **known):
    dtype, convert = plan_grey(raw(pixels, **known))
    converted = convert(pixels)
    assert converted.dtype == dtype
    return converted


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_a_mosaic_can_hold_is_kept(dtype):
    pixels = np.array([[0, 1, 200]], dtype=dtype)

    assert grey(pixels).dtype == pixels.dtype
    assert grey(pixels).tolist() == [[0, 1, 200]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_pixels_of_a_colour_image_keep_their_value(rng, dtype):
    values = (rng.random((50, 60)) * 255).astype(dtype)

    assert (luma(np.dstack([values] * 3)) == values).all()


def test_colours_are_weighed_as_the_eye_does():
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], "uint8")

    assert luma(primaries).tolist() == [[76, 150, 29, 255]]


def test_sixteen_bit_colour_does_not_overflow():
    white = np.full((1, 1, 3), 65535, dtype="uint16")

    assert luma(white).tolist() == [[65535]]


def test_zero_that_means_white_is_inverted():
    assert grey(np.array([[0, 255]], "uint8"), inverted=True).tolist() == [[255, 0]]
    assert grey(np.array([[0, 4095]], "uint16"), inverted=True, bits=12).tolist() == [[4095, 0]]
    assert grey(np.array([[False, True]]), inverted=True, bits=1).tolist() == [[255, 0]]


def test_few_bits_are_stretched_and_many_keep_their_counts():
    assert stretch(np.array([0, 1, 2, 3], "uint8"), 2).tolist() == [0, 85, 170, 255]
    assert stretch(np.array([0, 7, 15], "uint8"), 4).tolist() == [0, 119, 255]
    assert grey(np.array([[True, False]]), bits=1).tolist() == [[255, 0]]
    assert grey(np.array([[4095]], "uint16"), bits=12).tolist() == [[4095]]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float16", "float64"])
def test_signed_and_wide_samples_become_float(dtype):
    converted = grey(np.array([[-100, 0, 100]], dtype=dtype))

    assert converted.dtype == np.float32
    assert converted.tolist() == [[-100, 0, 100]]


@pytest.mark.parametrize(("dtype", "value"), [("uint32", 2**24 + 1), ("int32", -(2**24) - 1)])
def test_whole_numbers_that_float_cannot_hold_are_refused(dtype, value):
    with pytest.raises(MosaicError, match=f"its {dtype} values reach {value}; .* exact to 2"):
        grey(np.array([[0, value]], dtype=dtype))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_pixels_that_are_not_finite_are_refused(bad):
    with pytest.raises(MosaicError, match=r"not finite \(1 in one block\)"):
        grey(np.array([[1.0, bad]]))


def test_a_palette_becomes_grey():
    palette = np.array([[0, 0, 0], [65535, 65535, 65535], [65535, 0, 0]], "uint16")

    pixels = grey(np.array([[0, 1, 2]], "uint8"), colour="palette", palette=palette)

    assert pixels.tolist() == [[0, 255, 76]]


def test_a_palette_that_holds_eight_bits_is_understood():
    assert grey_table(np.array([[7, 7, 7], [250, 250, 250]], "uint16")).tolist() == [7, 250]


def test_an_index_beyond_the_palette_is_refused():
    with pytest.raises(MosaicError, match="palette has 2 colours, a pixel wants 2"):
        apply_table(np.array([0, 9], "uint8"), np.array([[1, 2]], "uint8"))


@pytest.mark.parametrize(
    ("pixels", "known", "rule"),
    [
        (np.zeros((1, 1), "complex64"), {}, "dtype complex64 cannot become grey"),
        (np.zeros((1, 1), "float32"), {"inverted": True}, "zero means white, .* float32"),
        (np.zeros((1, 1), "uint8"), {"colour": "palette"}, "palette is missing"),
        (np.zeros((1, 1, 3), "int16"), {}, "colour of dtype int16"),
    ],
)
def test_samples_without_a_rule_are_refused(pixels, known, rule):
    with pytest.raises(MosaicError, match=rule):
        grey(pixels, **known)


def test_stored_pixels_are_not_changed():
    pixels = np.array([[1, 2]], dtype="uint8")

    grey(pixels, inverted=True)

    assert pixels.tolist() == [[1, 2]]


def test_the_other_byte_order_is_turned():
    assert grey(np.array([[258]], dtype=">u2")).tolist() == [[258]]
