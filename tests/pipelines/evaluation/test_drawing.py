import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from pipelines.evaluation.drawing import SERIES, class_colours, rgb

#: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
COLOUR_BLIND = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(colour: str):
    share = np.array(rgb(colour)) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def seen_by(colour: str, matrix):
    light = np.clip(np.array(matrix) @ linear(colour), 0, 1)
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return rgb2lab(shown[None, None])[0, 0]


@pytest.mark.parametrize("kind", COLOUR_BLIND)
def test_right_left_and_none_stay_apart_for_colour_blind_eyes(kind):
    colours = class_colours(["right", "left", "none"]).values()

    for one, other in itertools.combinations(colours, 2):
        apart = seen_by(one, COLOUR_BLIND[kind]) - seen_by(other, COLOUR_BLIND[kind])
        # A difference of 2 is just seen; 20 is another colour.
        assert np.linalg.norm(apart) > 20


@pytest.mark.parametrize("page", ["#ffffff", "#15191e"])
@pytest.mark.parametrize("colour", SERIES)
def test_every_colour_stands_out_from_a_white_and_a_dark_page(colour, page):
    light, dark = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (colour, page))[::-1]

    assert (light + 0.05) / (dark + 0.05) >= 3


def test_handedness_has_the_same_colours_whatever_else_there_is():
    alone = class_colours(["right", "left"])

    assert class_colours(["debris", "left", "right"]).items() >= alone.items()


def test_classes_of_one_figure_differ_in_colour():
    names = ["debris", "right", "rod", "left", "none"]

    assert len(set(class_colours(names).values())) == 5
