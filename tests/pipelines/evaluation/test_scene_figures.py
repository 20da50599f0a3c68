import numpy as np
import pytest

from pipelines.evaluation.scene_figures import gallery, seam_map


def test_the_seam_map_tells_particles_on_seams_from_others_and_y_points_down():
    figure = seam_map(
        (100, 300),
        np.array([[10.0, 20.0], [50.0, 100.0]]),
        np.array([False, True]),
        core_px=100,
        uncertain_yx=np.array([[1.0, 2.0]]),
    )

    (axes,) = figure.axes
    inside, across, uncertain = axes.collections[-3:]
    assert inside.get_offsets().tolist() == [[20.0, 10.0]]
    assert across.get_offsets().tolist() == [[100.0, 50.0]]
    assert uncertain.get_offsets().tolist() == [[2.0, 1.0]]
    assert axes.get_ylim() == (100, 0)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (px)", "y (px)")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["within one tile: 1", "across a seam: 1", "uncertain merge: 1"]


def test_seams_are_drawn_between_cores_and_not_at_the_edge():
    figure = seam_map((200, 300), np.empty((0, 2)), np.empty(0, bool), core_px=100)

    rows, columns = figure.axes[0].collections[:2]
    assert [segment[0][1] for segment in rows.get_segments()] == [100]
    assert [segment[0][0] for segment in columns.get_segments()] == [100, 200]


def test_a_mosaic_of_one_tile_has_no_seams():
    figure = seam_map((20, 30), np.array([[1.0, 1.0]]), np.array([False]), core_px=None)

    assert len(figure.axes[0].collections) == 2


def test_a_gallery_shows_crops_captions_and_a_scale_bar():
    crops = np.arange(2 * 10 * 10, dtype=np.uint8).reshape(2, 10, 10)

    figure = gallery(crops, ["a", "b"], bar=(0.25, "5 nm"), title="right")

    (axes,) = figure.axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown[:, :10].tolist() == crops[0].tolist()
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    assert axes.get_title("left") == "right (bar: 5 nm)"
    assert axes.patches[0].get_width() == 2.5


@pytest.mark.parametrize("n_lines", [1, 3])
def test_no_caption_reaches_into_another_crop_or_out_of_the_figure(n_lines):
    crops = np.zeros((5, 40, 40), np.uint8)
    caption = "\n".join(["left → right"] * n_lines)

    figure = gallery(crops, [caption] * 5, bar=(0.25, "5 nm"), columns=2, title="all")

    (axes,) = figure.axes
    figure.draw_without_rendering()
    to_sheet = axes.transData.inverted()
    sheet = np.asarray(axes.images[0].get_array())
    tops = np.flatnonzero(np.diff((sheet[:, 0] == 0).astype(int), prepend=0) == 1)
    assert len(tops) == 3
    for place, text in enumerate(axes.texts):
        box = text.get_window_extent()
        (_, top), (_, bottom) = to_sheet.transform([(box.x0, box.y1), (box.x0, box.y0)])
        assert top >= tops[place // 2] + 40
        assert bottom <= [*tops[1:], np.inf][place // 2]
        assert box.y0 >= 0


def test_the_title_of_a_single_crop_is_not_cut_off():
    title = "the surest proposals of all"

    figure = gallery(np.zeros((1, 40, 40), np.uint8), ["a"], bar=(0.25, "500 nm"), title=title)

    figure.draw_without_rendering()
    box = figure.axes[0]._left_title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
