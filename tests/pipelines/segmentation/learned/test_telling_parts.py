import numpy as np
import pytest

from pipelines.segmentation.learned.telling_parts import telling_parts


def test_a_small_image_tells_all():
    image = np.zeros((100, 110), np.float32)

    (part,) = telling_parts(image, 10.0)

    assert part is image


def test_dim_spots_tell_more_than_the_edge_of_a_bright_support():
    image = np.zeros((400, 400), np.float32)
    image[:, 200:] = 1.0
    y, x = np.mgrid[:400, :400]
    for centre in range(20, 100, 20):
        for other in range(20, 100, 20):
            image[np.hypot(y - centre, x - other) < 5] += 0.4

    parts = telling_parts(image, 10.0)

    assert parts[0][20, 20] == pytest.approx(0.4)


@pytest.mark.parametrize("shape", [(400, 90), (130, 700), (500, 500)])
def test_parts_do_not_overlap_and_are_as_wide_as_there_is_room(shape, rng):
    image = rng.normal(size=shape).astype(np.float32)
    marks = np.zeros(shape, int)

    parts = telling_parts(image, 10.0)

    for part in parts:
        assert part.shape == tuple(min(120, size) for size in shape)
        (y,), (x,) = np.nonzero(image == part[0, 0])
        marks[y : y + part.shape[0], x : x + part.shape[1]] += 1
    assert 1 <= len(parts) <= 3
    assert marks.max() == 1
