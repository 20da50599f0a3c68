import numpy as np
import pytest
from matplotlib.colors import to_hex

from pipelines.labels.noise import NoisyLabels
from pipelines.sweeps.noisy_set_figure import WRONG, noisy_set_figure, worth_showing

LEFT, RIGHT = 0, 1
TRUE = np.array([LEFT, RIGHT, LEFT, RIGHT])
CLASSES = ["left", "right"]


def noisy(given, mirrored, error_rate) -> NoisyLabels:
    mirror_images = None if mirrored is None else np.array(mirrored)
    return NoisyLabels(np.array(given), mirror_images, np.eye(2), error_rate)


def crops(n: int) -> np.ndarray:
    images = np.zeros((n, 6, 6), dtype=np.uint8)
    images[:, :, 0] = np.arange(1, n + 1)[:, None]
    return images


def draw(labels, shown=(0, 1, 2)):
    return noisy_set_figure(
        crops(len(shown)), shown, TRUE, labels, classes=CLASSES, mirrored_class=[RIGHT, LEFT]
    )


#: The second particle and its mirror image, both wrong: a quarter of all.
ONE_PAIR = noisy([LEFT, LEFT, LEFT, RIGHT], [RIGHT, RIGHT, RIGHT, LEFT], 0.25)
#: The third particle itself, and the mirror image of the first.
APART = noisy([LEFT, RIGHT, RIGHT, RIGHT], [LEFT, LEFT, RIGHT, LEFT], 0.25)


def captions(axes) -> list[str]:
    return [text.get_text() for text in axes.texts if not text.get_text().startswith("truly")]


def frames(axes) -> set[tuple[int, int]]:
    """Return (row, column) of framed crops."""
    return {(round(patch.get_y() / 1.42), int(patch.get_x())) for patch in axes.patches}


def test_crops_stand_above_their_mirror_images_with_the_given_labels():
    (axes,) = draw([ONE_PAIR]).axes

    assert captions(axes) == ["left", "left", "left", "right", "right", "right"]
    shown = [np.asarray(image.get_array()) for image in axes.images]
    assert np.array_equal(shown[0], crops(3)[0])
    assert np.array_equal(shown[3], crops(3)[0][:, ::-1])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["particle", "mirror image"]
    # y points down: crops are upright, and mirror images below.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.images[3].get_extent()[3] > axes.images[0].get_extent()[3]


def test_what_is_wrong_is_framed_and_says_what_it_truly_is():
    (pair,) = draw([ONE_PAIR]).axes
    (apart,) = draw([APART]).axes

    assert frames(pair) == {(0, 1), (1, 1)}
    assert {to_hex(patch.get_edgecolor()) for patch in pair.patches} == {WRONG}
    truths = [text.get_text() for text in pair.texts if text.get_text().startswith("truly")]
    assert truths == ["truly right", "truly left"]
    assert frames(apart) == {(0, 2), (1, 0)}


def test_every_rate_has_a_panel_that_says_how_many_of_all_are_wrong():
    figure = draw([ONE_PAIR, APART, noisy(TRUE, 1 - TRUE, 0.0)])

    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "25 % wrong: 2 of 8 images",
        "25 % wrong: 2 of 8 images",
        "0 % wrong: 0 of 8 images",
    ]
    assert len(figure.axes[2].patches) == 0


def test_all_that_is_drawn_is_on_the_page():
    figure = draw([ONE_PAIR, APART], shown=(0, 1))

    figure.draw_without_rendering()
    drawn = figure.get_tightbbox()
    width_in, height_in = figure.get_size_inches()
    assert 0 < drawn.x0 < drawn.x1 < width_in
    assert 0 <= drawn.y0 < drawn.y1 < height_in


def test_crops_are_squares_in_a_row():
    figure = draw([ONE_PAIR])

    figure.draw_without_rendering()
    boxes = [image.get_window_extent() for image in figure.axes[0].images]
    assert {round(box.width) for box in boxes} == {round(box.height) for box in boxes}
    assert boxes[1].x0 > boxes[0].x1


def test_without_mirror_images_there_is_one_row():
    (axes,) = draw([noisy([RIGHT, RIGHT, LEFT, RIGHT], None, 0.25)]).axes

    assert captions(axes) == ["right", "right", "left"]
    assert frames(axes) == {(0, 0)}
    assert axes.get_title(loc="left") == "25 % wrong: 1 of 4 images"


def test_the_particles_chosen_are_those_that_are_drawn():
    (axes,) = draw([ONE_PAIR], shown=(1, 3)).axes

    assert captions(axes) == ["left", "right", "right", "left"]
    assert frames(axes) == {(0, 0), (1, 0)}


def test_the_particles_worth_showing_have_the_shares_of_all(rng):
    true = rng.integers(0, 2, 1000)
    order = rng.permutation(1000)
    levels = []
    for n_wrong in (100, 300, 460):
        given = true.copy()
        given[order[:n_wrong]] = 1 - given[order[:n_wrong]]
        levels.append(noisy(given, None, n_wrong / 1000))

    shown = worth_showing(levels, true, n=10)

    assert len(set(shown)) == 10
    assert shown == sorted(shown)
    for labels, expected in zip(levels, (1, 3, 4.6), strict=True):
        assert abs((labels.given_labels != true)[shown].sum() - expected) <= 1


def test_fewer_particles_than_wished_are_all_shown():
    assert worth_showing([ONE_PAIR], TRUE, n=10) == [0, 1, 2, 3]


@pytest.mark.parametrize(("shown", "labels"), [((), [ONE_PAIR]), ((0,), [])])
def test_nothing_to_draw_is_an_error(shown, labels):
    with pytest.raises(ValueError, match="must hold something"):
        draw(labels, shown=shown)


def test_a_crop_is_needed_for_each_shown():
    with pytest.raises(ValueError, match="a crop for each shown, got 2, 1 and 1"):
        noisy_set_figure(
            crops(2), [0], TRUE, [ONE_PAIR], classes=CLASSES, mirrored_class=[RIGHT, LEFT]
        )
