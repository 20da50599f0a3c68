import base64
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipelines.evaluation.drawing import INK, finish
from services.report.embedding import FigureFolder, darken, png_uri, to_png, to_svg


def draw() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().set_title("Text & <more>")
    return finish(figure)


def test_a_figure_is_kept_as_png_and_given_to_the_page_as_svg(tmp_path):
    drawing = FigureFolder(tmp_path / "r").add("sizes", draw(), "Sizes")

    assert drawing.file == "r/sizes.png"
    assert (tmp_path / drawing.file).read_bytes().startswith(b"\x89PNG")
    assert (drawing.width_px, drawing.height_px) == (192, 96)
    light, dark = (
        base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode()
        for uri in (drawing.light, drawing.dark)
    )
    assert INK in light
    assert INK not in dark


def test_a_drawing_is_the_same_bytes_each_time():
    assert to_svg(draw()) == to_svg(draw())


def test_a_drawing_loads_nothing():
    references = re.findall(r'(?:href|src)="([^"]*)"', to_svg(draw()))

    assert all(reference.startswith("#") for reference in references)


def test_data_keeps_its_colours_on_a_dark_page():
    svg = f"<path style='fill: #2a86d1; stroke: {INK}'/>"

    assert darken(svg) == "<path style='fill: #2a86d1; stroke: #d9dee5'/>"


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3), (3, 4, 4)])
def test_pixels_come_back_from_png_as_they_were(shape, tmp_path):
    from PIL import Image

    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "p.png").write_bytes(to_png(pixels))

    with Image.open(tmp_path / "p.png") as image:
        assert np.asarray(image).tolist() == pixels.tolist()
    assert png_uri(pixels).startswith("data:image/png;base64,")
