import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from pipelines.evaluation.drawing import class_colours
from pipelines.ledger import Entry, append_entries
from pipelines.mosaic.ome_zarr import open_mosaic, write_mosaic
from pipelines.quarantine import Quarantined, put_in_quarantine
from services.label_store import current_version
from services.outcome import Outcome
from services.report import places
from services.report.build import write_report
from services.report.inputs import ReportInputs, Step

VOID = {"meta", "img", "input", "source"}
HOSTILE = "<script>alert('1')</script>"


class Page(HTMLParser):
    """Checks that tags nest, and collects what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> list[str]:
        return [section["id"] for section in self.all("section")]


@pytest.fixture(scope="module")
def full(shared_scene):
    """An archive in which every part of the report has something to show, and its inputs."""
    scene = shared_scene
    scene.add_mosaic("train", crosses_seam=True)
    scene.add_mosaic("test")
    rule = {"name": "big", "expression": "area_px > 9", "label": "right", "weight": 1.0}
    rule |= {"n_votes": 3, "coverage": 1.0, "overlap": 0.0, "conflict": 0.25, "accuracy": None}
    shares = {"coverage": 1.0, "overlap": 0.0, "conflict": 0.25, "accuracy": None}
    scene.label("train", ["right"] * 3, rules={"n_labelled": 3, **shares, "rules": [rule]})
    scene.predict("train", [0.9, 0.8, 0.3])
    scene.predict("test", [0.1, 0.2, 0.95])
    scene.know("test", ["left", "left", "right"])
    put_in_quarantine(scene.archive, Quarantined("ingest", "", "b.tif", f"is {HOSTILE}", 2))
    result = {"instances": 3, "links": 4, "uncertain": 1, "gaps": [], "digest": "5e65"}
    entry = Entry("k", "segment", "train", "mosaic", result=json.dumps(result))
    append_entries(scene.archive, [entry])
    return scene.archive, ReportInputs(
        title=f"Title {HOSTILE}",
        run_id="r1",
        command=("tessera", "run", "my scans", "--archive", "a"),
        seed=3,
        finished=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        steps=[Step("segment", Outcome("segmented", {"instances": 6}), 2.0)],
        settings={"segment": {"core_px": 512, "method": HOSTILE}},
        held_out=("test",),
        scores={"test": scene.score("test")},
        history=[{"train_loss": 0.5, "select_accuracy": 0.9, "wrong_labels_memorised": 0.1}],
        model={"name": "handedness", "version": "1"},
        headline={"label error": "3 %"},
        notes=[f"Note {HOSTILE}"],
    )


@pytest.fixture(scope="module")
def written(full):
    return write_report(*full)


@pytest.fixture
def text(written):
    return written.read_text(encoding="utf-8")


@pytest.fixture
def page(text):
    return Page(text)


def test_the_page_is_named_after_the_run(full, written):
    assert written == full[0].reports / "report-r1.html"


def test_every_section_that_applies_is_there(page):
    assert page.sections == [
        "mosaics",
        "sizes",
        "gallery",
        "population",
        "rules",
        "training",
        "truth",
        "uncertain",
        "seams",
        "quarantine",
        "steps",
        "reproduce",
    ]
    assert {link["href"] for link in page.all("a") if link["href"].startswith("#")} == {
        f"#{name}" for name in page.sections
    }
    assert "test (held out)" in page.text
    assert "big" in page.text
    assert "area_px > 9" in page.text


def test_the_page_asks_nothing_from_outside_and_runs_nothing(text, page):
    assert page.all("script") == []
    assert page.all("link") == []
    for _, attributes in page.tags:
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:image/").startswith("data:image/")
        assert not any(name.startswith("on") for name in attributes)
    for link in page.all("a"):
        assert "//" not in link["href"]
    assert "url(" not in text
    assert "@import" not in text
    policy = [meta.get("content") for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_names_and_reasons_are_shown_as_text(text, page):
    assert "<script" not in text
    # Title twice, note, reason of the quarantine, and settings.
    assert page.text.count("<script>") == 5


def test_links_and_figures_lie_beside_the_page(written, page):
    files = [link["href"] for link in page.all("a") if link["href"].endswith(".png")]
    assert {file.split("/")[1].split("-")[0] for file in files} >= {
        "overview",
        "sizes.png",
        "gallery",
        "population.png",
        "training.png",
        "confusion.png",
        "reliability.png",
        "uncertain.png",
        "seams.png",
    }
    for file in files:
        assert (written.parent / file).read_bytes().startswith(b"\x89PNG")


def test_what_is_needed_to_make_it_again_is_shown(full, page):
    archive, _ = full

    assert open_mosaic(archive.mosaic("train")).info.digest in page.text
    assert current_version(archive).digest in page.text
    assert "5e65" in page.text
    assert "models:/m/1" in page.text
    assert "tessera run 'my scans' --archive a" in page.text
    assert "core_px = 512" in page.text
    assert "numpy" in page.text


def test_the_page_can_be_read_without_eyes(page):
    assert page.all("html")[0]["lang"] == "en"
    # Outlines alone are decoration: the image below them has the text.
    for image in page.all("img"):
        assert image["alt"] or image["class"] == "outlines"
    headings = [attributes["scope"] for attributes in page.all("th")]
    assert set(headings) == {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table"))


def test_scores_on_top_are_those_of_the_test(page):
    assert re.search(r"test accuracy\s*100\.0 %", page.text)
    assert re.search(r"instance F1\s*1\.000", page.text)
    assert re.search(r"particles\s*6\s*in 2 mosaics", page.text)
    assert re.search(r"label error\s*3 %", page.text)


def test_the_same_inputs_give_the_same_page(full, text):
    assert write_report(*full).read_text(encoding="utf-8") == text


def test_an_empty_archive_has_a_report_that_says_so(scene):
    page = Page(write_report(scene.archive, ReportInputs()).read_text(encoding="utf-8"))

    for words in (
        "The archive holds no mosaic.",
        "There is no whole particle to measure.",
        "Nothing is labelled or predicted yet.",
        "No model was trained in this run.",
        "so nothing here could be scored",
        "Nothing was segmented yet.",
        "Everything could be processed.",
    ):
        assert words in page.text
    assert "uncertain" not in page.sections
    assert "rules" not in page.sections


def test_particles_without_any_label_are_shown_all_the_same(scene):
    scene.add_mosaic("m", pixel_size_nm=None)

    page = Page(write_report(scene.archive, ReportInputs()).read_text(encoding="utf-8"))

    assert "Equivalent diameter (px)" in page.text
    assert "particles (3 shown" in page.text


def test_the_legend_names_the_colours_of_outlines(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right", "left", None])

    text = write_report(scene.archive, ReportInputs()).read_text(encoding="utf-8")

    entries = re.findall(r'<i style="background: (#\w+)"></i>([\w ]+)<', text)
    assert dict((name, colour) for colour, name in entries) == class_colours(
        ["right", "left", "no label"]
    )


def test_a_mosaic_that_was_not_segmented_is_shown(scene):
    image = np.zeros((20, 30), np.float32)
    write_mosaic(scene.archive.mosaic("m"), image, pixel_size_nm=None)

    page = Page(write_report(scene.archive, ReportInputs()).read_text(encoding="utf-8"))

    assert "m, 20 x 30 px" in page.text


def test_many_mosaics_stay_readable(scene, monkeypatch):
    monkeypatch.setattr(places, "THUMBNAILS_N", 2)
    monkeypatch.setattr(places, "ROWS_N", 4)
    for index in range(6):
        scene.add_mosaic(f"m{index}", ((8, 8),), shape=(40, 40))

    page = Page(write_report(scene.archive, ReportInputs()).read_text(encoding="utf-8"))

    overviews = [image for image in page.all("img") if "outlines of its" in image["alt"]]
    assert len(overviews) == 3
    assert "3 more mosaics are not shown" in page.text
    assert "and 2 more" in page.text
