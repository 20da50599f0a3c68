import base64

import cv2
import numpy as np
import pytest

from pipelines.evaluation.drawing import class_colours, rgb
from pipelines.records import Window
from services.report.embedding import FigureFolder
from services.report.images import (
    densest_window,
    draw_cut_out,
    draw_gallery,
    draw_overview,
    instance_colours,
)
from services.report.inputs import ReportInputs
from services.report.particles import read_particles


def pixels(uri: str):
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def figures(scene):
    return FigureFolder(scene.archive.reports / "r")


def glyph_at(image, y0, x0):
    """Read the glyph's coarse form back from an image."""
    cells = image[y0 : y0 + 24, x0 : x0 + 24].reshape(6, 4, 6, 4).mean(axis=(1, 3))
    return cells > cells.mean()


F_SHAPE = [
    [1, 1, 1, 1, 1, 1],
    [1, 1, 0, 0, 0, 0],
    [1, 1, 1, 1, 0, 0],
    [1, 1, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0],
]


def test_an_overview_shows_the_mosaic_the_right_way_round(scene, figures):
    scene.add_mosaic("m")
    particles = read_particles(scene.archive, ReportInputs())

    picture = draw_overview(scene.archive, particles, "m", figures)

    grey = pixels(picture.image)
    assert grey.shape == (96, 128)
    assert glyph_at(grey, 8, 60).astype(int).tolist() == F_SHAPE
    assert (picture.width_px, picture.height_px) == (128, 96)
    assert picture.bar_text == "50 nm"
    assert picture.bar_percent == pytest.approx(100 * 25 / 128)
    beside = cv2.imread(str(scene.archive.reports / picture.file))
    assert beside.shape == (96, 128, 3)


def test_outlines_have_the_colours_of_the_predicted_class(scene):
    scene.add_mosaic("m")
    scene.predict("m", [0.9, 0.1, 0.9])
    particles = read_particles(scene.archive, ReportInputs())

    layer = pixels(draw_overview(scene.archive, particles, "m").outlines)

    colours = {name: rgb(c) for name, c in class_colours(["right", "left"]).items()}
    drawn = {(int(y), int(x)): tuple(layer[y, x, 2::-1]) for y, x in [(8, 8), (8, 60), (50, 30)]}
    assert drawn[8, 8] == drawn[50, 30] == colours["right"]
    assert drawn[8, 60] == colours["left"]
    # Clear between the particles.
    assert layer[90, 5, 3] == 0


def test_a_large_mosaic_is_shown_from_its_pyramid(scene):
    scene.add_mosaic("m", ((8, 8),), shape=(1000, 500))
    particles = read_particles(scene.archive, ReportInputs())

    picture = draw_overview(scene.archive, particles, "m", largest_px=600)

    assert pixels(picture.image).shape == (500, 250)
    # 500 px of 2 nm are 1000 nm wide.
    assert picture.bar_text == "200 nm"
    assert picture.bar_percent == pytest.approx(20)


def test_a_cut_out_shows_a_large_mosaic_at_full_resolution(scene, figures):
    scene.add_mosaic("m", ((8, 8), (700, 800), (740, 800)), shape=(1000, 1000))
    particles = read_particles(scene.archive, ReportInputs())

    picture = draw_cut_out(scene.archive, particles, "m", figures)

    assert "full resolution" in picture.caption
    grey = pixels(picture.image)
    assert grey.shape == (384, 384)
    # Two bright glyphs of 288 px lie in it.
    assert (grey == 255).sum() == 2 * 16 * 18


def test_a_small_mosaic_needs_no_cut_out(scene, figures):
    scene.add_mosaic("m")
    particles = read_particles(scene.archive, ReportInputs())

    assert draw_cut_out(scene.archive, particles, "m", figures) is None


def test_the_densest_window_holds_the_cluster_and_stays_inside():
    cluster = np.array([[90.0, 95.0], [92.0, 96.0], [95.0, 99.0]])
    stray = np.array([[5.0, 5.0]])

    window = densest_window(np.concatenate([stray, cluster]), (100, 100), 20)

    assert window == Window(80, 80, 100, 100)


def test_a_window_larger_than_the_image_is_the_image():
    assert densest_window(np.array([[3.0, 3.0]]), (10, 8), 20) == Window(0, 0, 10, 8)


def test_crops_are_never_mirrored_and_share_one_scale(scene, figures):
    scene.add_mosaic("fine", ((30, 40),), pixel_size_nm=2.0)
    scene.add_mosaic("coarse", ((30, 40),), pixel_size_nm=4.0)
    particles = read_particles(scene.archive, ReportInputs())
    rows = np.concatenate([particles.rows_of("fine")[:1], particles.rows_of("coarse")[:1]])

    shown = draw_gallery(
        scene.archive, particles, rows, [["right"], ["left"]], "all", figures, "gallery"
    )

    fine, coarse = (pixels(crop.image) > 128 for crop in shown.crops)
    # The same shape, both the same way round, one half the other's size.
    for crop in (fine, coarse):
        ys, xs = np.nonzero(crop)
        box = crop[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.uint8)
        coarse_box = cv2.resize(box, (60, 60), interpolation=cv2.INTER_AREA)
        cells = coarse_box.reshape(6, 10, 6, 10).mean(axis=(1, 3)) > 0.5
        assert cells.astype(int).tolist() == F_SHAPE
    assert fine.sum() * 4 == pytest.approx(coarse.sum(), rel=0.1)
    assert "fine, y 42, x 52 px" in shown.crops[0].about
    assert shown.bar_text.endswith("nm")
    assert (scene.archive.reports / shown.file).is_file()


def test_a_gallery_is_in_pixels_where_a_pixel_size_is_missing(scene, figures):
    scene.add_mosaic("m", pixel_size_nm=None)
    particles = read_particles(scene.archive, ReportInputs())

    shown = draw_gallery(
        scene.archive, particles, np.array([0]), [["right"]], "all", figures, "gallery"
    )

    # 36 px are shown: one and a half times the particle's length.
    assert shown.bar_text == "10 px"
    assert shown.bar_percent == pytest.approx(100 * 10 / 36)


def test_without_any_label_all_outlines_have_one_colour(scene):
    scene.add_mosaic("m")
    particles = read_particles(scene.archive, ReportInputs())

    assert instance_colours(particles, particles.rows_of("m")) == {}
