"""The dashboard asks for metrics that exist, under the names and labels that they have."""

import json
import re
from pathlib import Path

import pytest
import ray

from cluster.metrics import STAGE, exported_names

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "tessera.json"


@pytest.fixture(scope="module")
def dashboard():
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def queries(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def names_in(query):
    return set(re.findall(r"\bray_\w+", query))


def test_every_metric_of_ours_is_shown_and_no_other_is_asked_for(dashboard):
    asked = set().union(*map(names_in, queries(dashboard)))

    assert {name for name in asked if "tessera" in name} == exported_names()


def test_every_metric_of_rays_is_one_that_its_own_dashboards_ask_for(dashboard):
    folder = Path(ray.__file__).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    known = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))

    asked = {name for query in queries(dashboard) for name in names_in(query)}
    rays = {name for name in asked if "tessera" not in name}

    assert rays
    assert {name for name in rays if not re.search(rf"\b{name}\b", known)} == set()


def test_our_metrics_are_chosen_by_the_label_that_they_carry(dashboard):
    for query in queries(dashboard):
        chosen = set(re.findall(r"ray_tessera_\w+\{(\w+)=~", query))
        assert chosen == ({STAGE} if "tessera" in query else set()), query


def test_the_choice_of_stages_comes_from_a_metric_that_exists(dashboard):
    (variable,) = [v for v in dashboard["templating"]["list"] if v["name"] == STAGE]

    name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
    assert name in exported_names()
    assert label == STAGE


def test_brackets_of_every_query_are_closed(dashboard):
    for query in queries(dashboard):
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), query


def test_panels_have_a_title_a_description_and_a_place_of_their_own(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_data_source_is_chosen_by_whoever_imports_it(dashboard):
    sources = {panel["datasource"]["uid"] for panel in dashboard["panels"]}

    assert sources == {"${datasource}"}
