"""A glyph with a hand, for every path that pixels take."""

import math

import cv2
import numpy as np
import pytest

#: An S with a straight back: turned by half a turn it is itself, mirrored it is not.
GLYPH = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=np.float32,
)


def hand(crop):
    """+1 if some turn of the glyph fits better than any turn of its mirror image, else -1."""
    picture = cv2.resize(np.asarray(crop, np.float32), (48, 48), interpolation=cv2.INTER_AREA)
    centred = picture - picture.mean()
    # Some four times its size the glyph fills a crop of 48 pixels.
    big = np.kron(GLYPH, np.ones((4, 4), np.float32))
    canvas = np.zeros((48, 48), np.float32)
    canvas[:, 2:46] = big

    def best(glyph):
        scores = []
        for degrees in range(0, 180, 5):
            turn = cv2.getRotationMatrix2D((23.5, 23.5), degrees, 1.0)
            turned = cv2.warpAffine(glyph, turn, (48, 48))
            scores.append(float((centred * (turned - turned.mean())).sum()))
        return max(scores)

    plain, mirrored = best(canvas), best(canvas[:, ::-1])
    assert abs(plain - mirrored) > 0.05 * max(plain, mirrored), "no hand to be seen"
    return 1 if plain > mirrored else -1


def scene(shape, centre, *, scale=4, angle_deg=0.0, dtype=np.uint8, order="C"):
    """Draw the glyph, its axis turned from down (+y) towards +x by ``angle_deg``."""
    theta = math.radians(angle_deg)
    image = np.zeros(shape, np.float32)
    height, width = GLYPH.shape
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    dy, dx = y - centre[0], x - centre[1]
    along = dy * math.cos(theta) + dx * math.sin(theta)
    across = -dy * math.sin(theta) + dx * math.cos(theta)
    row = np.round(along / scale + (height - 1) / 2).astype(int)
    column = np.round(across / scale + (width - 1) / 2).astype(int)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    image[inside] = GLYPH[row[inside], column[inside]]
    top = 200 if dtype == np.uint8 else 40_000
    return np.asarray(20 + image * top, dtype=dtype, order=order)


@pytest.fixture(scope="session", name="hand")
def hand_fixture():
    """Tell the hand of a picture of the glyph: +1, or -1 if it is mirrored."""
    return hand


@pytest.fixture(scope="session", name="scene")
def scene_fixture():
    """Draw the glyph."""
    return scene
