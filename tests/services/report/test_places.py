import json

import pytest

from pipelines.ledger import Entry, append_entries
from pipelines.mosaic.ome_zarr import open_mosaic
from services.report import places
from services.report.embedding import FigureFolder
from services.report.inputs import ReportInputs
from services.report.particles import read_particles


@pytest.fixture
def figures(scene):
    return FigureFolder(scene.archive.reports / "r")


def infos(scene):
    names = scene.archive.mosaic_names()
    return [open_mosaic(scene.archive.mosaic(name)).info for name in names]


def tables(section):
    return [block for block in section.blocks if block.kind == "table"]


def test_the_mosaic_with_the_most_particles_is_shown_large(scene, figures):
    scene.add_mosaic("a", ((8, 8),))
    scene.add_mosaic("b")
    particles = read_particles(scene.archive, ReportInputs())

    section = places.mosaics(scene.archive, infos(scene), particles, figures, ReportInputs())

    large, small = (block for block in section.blocks if block.kind == "picture")
    assert large.caption.startswith("b, ")
    assert large.file
    assert small.caption.startswith("a, ")
    assert not small.file


def test_every_mosaic_has_a_row_of_what_was_found(scene, figures):
    scene.add_mosaic("a", ((8, 8),), pixel_size_nm=None)
    scene.add_mosaic("b")
    scene.predict("b", [0.9, 0.9, 0.1])
    inputs = ReportInputs(held_out=("b",), scores={"b": scene.score("b")})
    particles = read_particles(scene.archive, inputs)

    section = places.mosaics(scene.archive, infos(scene), particles, figures, inputs)

    (table,) = tables(section)
    assert list(table.head)[-2:] == ["predicted right", "F1"]
    assert list(table.rows[0]) == ["a", "96 x 128", "-", "1", "19.1 px", "-", "-"]
    assert list(table.rows[1]) == [
        "b (held out)",
        "96 x 128",
        "2",
        "3",
        "38.3 nm",
        "66.7 % (20.8 to 93.9)",
        "1.000",
    ]


def test_seams_count_particles_links_and_uncertain_merges(scene, figures):
    scene.add_mosaic("a")
    scene.add_mosaic("b", crosses_seam=True)
    result = {"instances": 3, "links": 5, "uncertain": 2, "gaps": [[0, 0, 9, 9]]}
    tile = Entry("t", "segment", "b", "0-0", result=json.dumps({"digest": "d"}))
    whole = Entry("w", "segment", "b", "mosaic", result=json.dumps(result))
    append_entries(scene.archive, [tile, whole])
    particles = read_particles(scene.archive, ReportInputs())

    section = places.seams(scene.archive, infos(scene), particles, figures)

    assert section.blocks[0].alt == "Map of b: 3 of 3 particles cross a seam"
    (table,) = tables(section)
    assert [list(row) for row in table.rows] == [
        ["b", "3", "3", "5", "2", "1"],
        ["a", "3", "0", "-", "-", "-"],
    ]


def test_where_nothing_crosses_a_seam_it_is_said(scene, figures):
    scene.add_mosaic("a")
    particles = read_particles(scene.archive, ReportInputs())

    section = places.seams(scene.archive, infos(scene), particles, figures)

    assert section.blocks[0].text == "No particle crosses a seam between tiles."
