import tomllib
from dataclasses import replace

from pipelines.quarantine import Quarantined, put_in_quarantine
from services.label_store import current_version
from services.report import provenance
from services.report.blocks import Code, Table
from services.report.inputs import ReportInputs
from services.report.particles import read_particles


def tables(section) -> dict[str, Table]:
    return {block.caption: block for block in section.blocks if isinstance(block, Table)}


def test_settings_can_be_given_back_to_the_command_line():
    settings = {
        "segment": {"core_px": 512, "threshold": None, "split_px": 1.5, "clear_border": False},
        "label": {"hold_out": ("a*", "b"), "assume": 'a "quoted" \\ name'},
    }

    assert tomllib.loads(provenance.to_toml(settings)) == {
        "segment": {"core_px": 512, "split_px": 1.5, "clear_border": False},
        "label": {"hold_out": ["a*", "b"], "assume": 'a "quoted" \\ name'},
    }


def test_the_identity_names_labels_model_seed_and_error_rate(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right"] * 3)
    scene.predict("m", [0.9] * 3)
    scene.know("m", ["right", "left", "right"])
    inputs = ReportInputs(run_id="r7", seed=5, scores={"m": scene.score("m")})
    version = current_version(scene.archive)

    section = provenance.reproduce(
        scene.archive, [], read_particles(scene.archive, inputs), version, inputs
    )

    facts = dict(tables(section)["Identity"].rows)
    assert facts["run"] == "r7"
    assert facts["seed"] == "5"
    assert facts["model"] == "models:/m/1"
    assert facts["label version"] == f"0, digest {version.digest}, by assume, ada"
    assert facts["realised error rate of the given labels"] == "33.3 % of 3 with known truth"


def test_what_is_not_known_is_said_to_be_missing(scene):
    inputs = ReportInputs()

    section = provenance.reproduce(
        scene.archive, [], read_particles(scene.archive, inputs), None, inputs
    )

    facts = dict(tables(section)["Identity"].rows)
    assert facts["run"] == "not recorded"
    assert facts["label version"] == "none"
    assert facts["realised error rate of the given labels"] == "not known: no truth"
    assert not any(isinstance(block, Code) for block in section.blocks)


def test_rules_are_shown_with_their_shares_and_together(scene):
    scene.add_mosaic("m")
    rule = {"name": "big", "expression": "area_px > 9", "label": "right", "n_votes": 2}
    rule |= {"coverage": 0.5, "overlap": 0.25, "conflict": 0.125, "accuracy": 0.75}
    together = {"coverage": 0.5, "overlap": 0.0, "conflict": 0.0, "accuracy": None}
    scene.label("m", ["right"] * 3, rules={**together, "n_labelled": 3, "rules": [rule]})

    section = provenance.rules(current_version(scene.archive))

    (table,) = tables(section).values()
    assert table.rows == [
        ["big", "area_px > 9", "right", "2", "50.0 %", "25.0 %", "12.5 %", "75.0 %"],
        ["together", "", "", "3", "50.0 %", "0.0 %", "0.0 %", "-"],
    ]


def test_without_rules_there_is_no_section(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right"] * 3)

    assert provenance.rules(current_version(scene.archive)) is None
    assert provenance.rules(None) is None


def test_quarantine_lists_reasons_and_is_capped(scene, monkeypatch):
    monkeypatch.setattr(provenance, "ROWS_N", 2)
    for index in range(3):
        case = Quarantined("ingest", "", f"{index}.tif", "is empty", attempts=3)
        put_in_quarantine(scene.archive, case)

    section = provenance.quarantine(scene.archive)

    (table,) = tables(section).values()
    assert table.rows == [["ingest", "", f"{index}.tif", "is empty", "3"] for index in range(2)]
    assert table.caption.startswith("3 files or tiles")
    assert section.blocks[-1].text.startswith("1 more")


def test_a_version_without_a_report_on_rules_is_none(scene):
    scene.add_mosaic("m")
    scene.label("m", ["right"] * 3)
    version = replace(current_version(scene.archive), rules={"method": "assume"})

    assert provenance.rules(version) is None
