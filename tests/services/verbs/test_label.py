import json

import numpy as np
import pytest

from pipelines.archive import create_archive, particle_id
from pipelines.errors import ArchiveError, LabelError, SettingsError
from pipelines.labels.weak import WeakLabeller, add_statistics
from pipelines.tables import append_rows, replace_rows, to_table
from services import cli
from services.label_store import commit_labels, list_versions, read_labels
from services.verbs import label

RULES = """
[[rules]]
name = "round"
expression = "eccentricity < 0.5"
label = "dot"

[[rules]]
name = "large"
expression = "area_px > median(area_px)"
label = "blob"
weight = 3.0
"""


def add_particles(archive, mosaic, n, *, segmentation="s1", **columns):
    archive.mosaic(mosaic).mkdir(exist_ok=True)
    (archive.mosaic(mosaic) / "zarr.json").touch()
    instances = np.arange(1, n + 1)
    append_rows(
        archive,
        "particles",
        to_table(
            "particles",
            {
                "particle_id": [particle_id(mosaic, i) for i in instances],
                "mosaic": [mosaic] * n,
                "instance": instances,
                "segmentation": [segmentation] * n,
                "touches_edge": [False] * n,
                "low_contrast": [False] * n,
                **columns,
            },
        ),
    )


@pytest.fixture
def archive(tmp_path):
    archive = create_archive(tmp_path / "a")
    add_particles(
        archive,
        "m",
        4,
        area_px=[10, 20, 30, 40],
        eccentricity=[0.1, 0.9, 0.1, None],
    )
    add_particles(archive, "n", 2, area_px=[5, 6], eccentricity=[0.9, 0.1])
    return archive


@pytest.fixture
def rules_file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def run(archive, **settings):
    return label.execute(label.Settings(archive=archive.root, author="ada", **settings))


def labels_of(archive):
    return [(r["mosaic"], r["instance"], r["label"]) for r in read_labels(archive).to_pylist()]


def test_an_assumed_class_labels_every_particle(archive):
    outcome = run(archive, assume="right")

    assert labels_of(archive) == [
        *[("m", i, "right") for i in (1, 2, 3, 4)],
        ("n", 1, "right"),
        ("n", 2, "right"),
    ]
    (version,) = list_versions(archive)
    assert outcome.line() == (
        "labelled particles=6 flagged=0 labels=6 abstained=0 version=0 "
        f"digest={version.digest} coverage=1 conflict=0"
    )


def test_rules_label_what_they_agree_on(archive, rules_file):
    outcome = run(archive, rules=rules_file)

    # m3 is round and large: a tie. m4 is large; whether it is round is not known.
    assert labels_of(archive) == [("m", 1, "dot"), ("m", 4, "blob")]
    assert (outcome.values["labels"], outcome.values["abstained"]) == (2, 4)
    assert outcome.values["coverage"] == pytest.approx(4 / 6)
    assert outcome.values["conflict"] == pytest.approx(2 / 6)


def test_weights_break_ties(archive, rules_file):
    run(archive, rules=rules_file, combine="weighted")

    assert ("m", 3, "blob") in labels_of(archive)


def test_labels_that_are_not_sure_enough_are_left_out(archive, rules_file):
    run(archive, rules=rules_file, combine="weighted", min_confidence=0.8)

    assert ("m", 3, "blob") not in labels_of(archive)


def test_the_version_keeps_the_rules_and_their_report(archive, rules_file, capsys):
    run(archive, rules=rules_file)

    (version,) = list_versions(archive)
    assert (version.method, version.author, version.mosaics) == (
        "rules, majority",
        "ada",
        ("m", "n"),
    )
    assert [rule["expression"] for rule in version.rules["rules"]] == [
        "eccentricity < 0.5",
        "area_px > median(area_px)",
    ]
    shown = capsys.readouterr().err
    assert "coverage" in shown
    assert shown.count("%") == 9


def test_flagged_particles_are_left_out_unless_asked_for(archive):
    flags = {"touches_edge": [True, False, None], "low_contrast": [None, True, False]}
    add_particles(archive, "p", 3, **flags)

    outcome = run(archive, assume="right", mosaic=("p",))
    assert (outcome.values["flagged"], outcome.values["labels"]) == (2, 1)

    outcome = run(archive, assume="right", mosaic=("p",), include_flagged=True)
    assert (outcome.values["flagged"], outcome.values["labels"]) == (0, 3)


def test_held_out_mosaics_have_no_weak_labels(archive):
    run(archive, assume="right")
    run(archive, assume="right", hold_out=("n",))

    assert {mosaic for mosaic, *_ in labels_of(archive)} == {"m"}


def test_labels_of_mosaics_that_are_not_chosen_stay(archive):
    run(archive, assume="right")
    run(archive, assume="left", mosaic=("n",))

    assert {(m, name) for m, _, name in labels_of(archive)} == {("m", "right"), ("n", "left")}


def test_the_same_again_makes_no_new_version(archive, capsys):
    first = run(archive, assume="right")
    second = run(archive, assume="right")

    assert second.values["version"] == first.values["version"]
    assert "labels are unchanged: version 0 stays the current one" in capsys.readouterr().err


def test_decisions_are_kept(archive):
    run(archive, assume="right", mosaic=("n",))
    decided = read_labels(archive).slice(0, 1)
    decided = decided.set_column(decided.schema.get_field_index("label"), "label", [["left"]])
    decided = decided.set_column(decided.schema.get_field_index("state"), "state", [["accepted"]])
    commit_labels(archive, decided, method="review", author="bob", run_id="", code_version="")

    run(archive, assume="right", mosaic=("n",))

    assert labels_of(archive) == [("n", 1, "left"), ("n", 2, "right")]


def test_particles_of_a_new_segmentation_are_labelled_anew(archive):
    run(archive, assume="right", mosaic=("n",))
    empty = to_table("particles", [])
    replace_rows(archive, "particles", empty, where="mosaic = 'n'")
    add_particles(archive, "n", 3, segmentation="s2")

    run(archive, assume="right", mosaic=("n",))

    assert read_labels(archive)["segmentation"].to_pylist() == ["s2"] * 3


def test_all_particles_flagged_is_said(archive, capsys):
    add_particles(archive, "p", 1, touches_edge=[True])

    assert run(archive, assume="right", mosaic=("p",)).values["labels"] == 0
    assert "all 1 particles are flagged; --include-flagged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, SettingsError, "one of --assume CLASS, --rules FILE and --made-wrong SHARE is needed"),
        ({"made_wrong": 0.2, "noise": "magic"}, SettingsError, "--noise must be one of"),
        ({"made_wrong": 0.2}, LabelError, "--made-wrong needs particles of known class"),
        ({"assume": ""}, LabelError, "--assume: a class is named by"),
        ({"assume": "right", "mosaic": ("x*",)}, SettingsError, r"--mosaic: no mosaic of .* 'x\*'"),
        ({"assume": "right", "hold_out": ("*",)}, SettingsError, "mosaics are held out"),
        ({"rules": "none.toml"}, LabelError, r"rules file none\.toml does not exist"),
    ],
)
def test_settings_that_cannot_work_are_refused(archive, settings, error, message):
    with pytest.raises(error, match=message):
        run(archive, **settings)

    assert list_versions(archive) == []


def test_assumption_and_rules_exclude_each_other(archive, rules_file):
    with pytest.raises(SettingsError, match="exclude each other, got --assume right and"):
        run(archive, assume="right", rules=rules_file)


def test_an_archive_without_particles_is_refused(tmp_path):
    archive = create_archive(tmp_path / "b")
    archive.mosaic("m").mkdir()
    (archive.mosaic("m") / "zarr.json").touch()

    with pytest.raises(ArchiveError, match="has no particles of m; `tessera segment` finds them"):
        run(archive, assume="right")


def test_broken_rules_are_refused_before_the_archive_is_looked_at(tmp_path, capsys):
    (tmp_path / "r.toml").write_text('[[rules]]\nname="a"\nexpression="eval(1)"\nlabel="b"\n')

    status = cli.run(["label", "--archive", "nowhere", "--rules", str(tmp_path / "r.toml")])

    assert status == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "r.toml: rule 'a': character 1: unknown function 'eval'" in error


def test_the_command_line_prints_the_outcome(archive, capsys):
    status = cli.run(["label", "--archive", str(archive.root), "--assume", "right", "--json"])

    assert status == 0
    assert json.loads(capsys.readouterr().out)["labels"] == 6


def test_labels_are_compared_with_known_truth_on_request(archive, monkeypatch):
    import pyarrow as pa

    from pipelines.segmentation import scoring

    def known_labels(archive, mosaics):
        assert tuple(mosaics) == ("m", "n")
        ids = [particle_id("m", i) for i in (1, 2, 3, 4)]
        return pa.table({"particle_id": ids, "label": ["right", "left", "right", "right"]})

    monkeypatch.setattr(scoring, "known_labels", known_labels)

    assert run(archive, assume="right", check_truth=True).values["accuracy"] == 0.75


def test_truth_is_made_wrong_at_a_known_rate_for_studies(archive, monkeypatch):
    import pyarrow as pa

    from pipelines.segmentation import scoring

    hands = ["right", "left", "right", "right"]
    known = {
        "particle_id": [particle_id("m", i) for i in (1, 2, 3, 4)],
        "label": hands,
        "determinable": [True] * 4,
    }
    monkeypatch.setattr(scoring, "known_labels", lambda *_: pa.table(known))

    outcome = run(archive, made_wrong=0.25)

    rows = {row["particle_id"]: row for row in read_labels(archive).to_pylist()}
    said = [rows[value]["label"] for value in known["particle_id"]]
    assert len(rows) == 4
    assert sum(a != b for a, b in zip(said, hands, strict=True)) == 1
    assert outcome.values["accuracy"] == 0.75
    assert {row["source"] for row in rows.values()} == {"truth made wrong"}


def test_nothing_known_to_compare_with_is_said(archive, capsys):
    outcome = run(archive, assume="right", check_truth=True)

    assert "accuracy" not in outcome.values
    assert "nothing to compare labels with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "stream_from", "streams"),
    [({}, 7, False), ({}, 6, True), ({"workers": 1}, 7, True), ({"address": "ray"}, 7, True)],
)
def test_actors_label_many_particles_or_on_request(
    archive, rules_file, monkeypatch, settings, stream_from, streams
):
    streamed = []

    def stream(particles, rules, settings):
        streamed.append(particles.num_rows)
        labeller = WeakLabeller(rules, settings.combine, settings.min_confidence)
        return labeller(add_statistics(particles, rules))

    monkeypatch.setattr(label, "_stream", stream)
    monkeypatch.setattr(label, "STREAM_FROM_N_PARTICLES", stream_from)

    run(archive, rules=rules_file, **settings)

    assert streamed == ([6] if streams else [])
    assert labels_of(archive) == [("m", 1, "dot"), ("m", 4, "blob")]
