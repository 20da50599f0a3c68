"""Pages for readers: links lead somewhere, and what was measured stands between the marks."""

import re
from pathlib import Path

import pytest

from tests.benchmarks.record import PAGES, write_between_marks

ROOT = Path(__file__).parents[1]
ALL = (*PAGES, ROOT / "deploy" / "README.md", ROOT / "CHANGELOG.md")


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links do: small letters, a hyphen for a space."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))

    dead = []
    for target in targets:
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            dead.append(target)

    assert dead == []


def test_the_readme_links_to_what_was_measured():
    readme, results = PAGES

    assert f"({results.relative_to(ROOT)}#" in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_marks_come_in_pairs_and_hold_something(page):
    text = page.read_text(encoding="utf-8")
    begun = re.findall(r"<!-- ([\w-]+): begin -->", text)

    assert begun
    assert re.findall(r"<!-- ([\w-]+): end -->", text) == begun
    for name in begun:
        between = text.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]
        assert len(between.strip().splitlines()) > 3


def test_what_was_measured_replaces_what_stood_between_the_marks(tmp_path):
    page = tmp_path / "PAGE.md"
    page.write_text("a\n<!-- x: begin -->\nold\nolder\n<!-- x: end -->\nb\n<!-- y: begin -->\n")

    write_between_marks("x", "new", [page])

    wanted = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n<!-- y: begin -->\n"
    assert page.read_text() == wanted


def test_what_no_page_would_show_is_refused(tmp_path):
    page = tmp_path / "PAGE.md"
    page.write_text("nothing here\n")

    with pytest.raises(ValueError, match="no page has the marks of 'x'"):
        write_between_marks("x", "new", [page])
    assert page.read_text() == "nothing here\n"
