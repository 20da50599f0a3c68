import numpy as np

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
    assert axes.get_title() == "right (bar: 5 nm)"
    assert axes.patches[0].get_width() == 2.5
