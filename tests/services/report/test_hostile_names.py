"""Names of mosaics, classes and models come from outside: on a page they are text, wherever."""

import dataclasses
import typing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.archive import create_archive
from services.report import blocks
from services.report.blocks import Section, Tile
from services.report.build import write_page
from services.report.images import Crop

HOSTILE = "\"><script>alert('1')</script><img src=x onerror=alert(1)> {{ 7 * 7 }} &amp;"
HARMLESS = "name"
#: Made by the program alone: pictures as data URIs, and paths that `urlencode` writes.
OWN = {"image", "outlines", "light", "dark"}
KINDS = typing.get_args(blocks.Block)


def fill(kind, text):
    """Make a block with a text in every field that takes one."""
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if field.name in OWN:
            values[field.name] = "data:image/png;base64,AAAA"
        elif field.name == "crops":
            values[field.name] = [fill(Crop, text)]
        elif field.name == "rows":
            values[field.name] = [[text, text, text]]
        elif field.name in ("head", "lines"):
            values[field.name] = [text, text]
        elif hint is str:
            values[field.name] = text
        elif hint in (int, float):
            values[field.name] = 3
        elif hint is bool:
            values[field.name] = False
        else:
            raise AssertionError(f"{kind.__name__}.{field.name}: {hint} needs a value here")
    return kind(**values)


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.links = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        self.links += [value for name, value in attributes if name == "href"]

    def handle_data(self, data):
        self.text += data


def page(folder, text, *, is_folded=False):
    """Write a page with every kind of block, and the text in every place that takes one."""
    made = [fill(kind, text) for kind in KINDS]
    if is_folded:
        made = [
            dataclasses.replace(block, is_folded=True) if hasattr(block, "is_folded") else block
            for block in made
        ]
    path = write_page(
        create_archive(folder),
        "report-1",
        title=text,
        finished=datetime(2026, 11, 25, tzinfo=UTC),
        run_id=text,
        notes=[text],
        legend={text: "#112233"},
        tiles=[Tile(text, text, text)],
        sections=[Section("first", text, made)],
    )
    return Elements(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("is_folded", [False, True])
def test_a_hostile_name_adds_no_element_and_no_attribute_anywhere(tmp_path, is_folded):
    harmless = page(tmp_path / "a", HARMLESS, is_folded=is_folded)

    hostile = page(tmp_path / "b", HOSTILE, is_folded=is_folded)

    assert hostile.elements == harmless.elements
    assert not {"script", "iframe"} & {tag for tag, _ in hostile.elements}


def test_a_hostile_name_is_shown_as_it_is(tmp_path):
    harmless, hostile = page(tmp_path / "a", HARMLESS), page(tmp_path / "b", HOSTILE)

    # Every place that shows the one shows the other, letter by letter.
    assert hostile.text.count(HOSTILE) == harmless.text.count(HARMLESS) > 15
    assert "49" not in hostile.text


def test_a_hostile_name_makes_no_link_that_leaves_the_report(tmp_path):
    hostile = page(tmp_path / "b", "javascript:alert(1)//host")

    assert len(hostile.links) >= 4
    for link in hostile.links:
        # A colon ahead of any slash would make a scheme of what is before it.
        assert link.startswith("#") or ":" not in link
        assert not link.startswith("/")


def test_every_writer_of_a_report_goes_through_the_one_page():
    folder = Path(blocks.__file__).parent
    writers = [
        path.name for path in folder.glob("*.py") if "archive.reports" in path.read_text("utf-8")
    ]

    around = [name for name in writers if "write_page(" not in (folder / name).read_text("utf-8")]
    assert len(writers) >= 8
    assert around == []
