import csv
import json
import re

import pyarrow.parquet as pq
import pytest
import zarr
from faster_coco_eval import COCO
from ome_zarr_models.v05.image_label import ImageLabel

from pipelines.archive import create_archive
from pipelines.mosaic.ome_zarr import open_instances
from pipelines.records import Window
from pipelines.tables import to_table
from services.cli import run
from services.label_decisions import Decision, decide
from services.label_store import commit_labels, current_version, list_versions, read_labels
from services.verbs.versions.export import Settings as ExportSettings
from services.verbs.versions.export import execute as export

SAID = "label,state,exported_version,exported_label,exported_state"


def decided(archive, number, verdict, label=None):
    """Decide about the particle in a row of the labels."""
    particle = read_labels(archive, with_unlabelled=True)["particle_id"][number].as_py()
    return Decision(particle, verdict, label)


@pytest.fixture
def labelled(hands):
    """Version 0: 60 given labels; version 1: two of them decided otherwise."""
    decisions = [decided(hands, 57, "label", "left"), decided(hands, 58, "undeterminable")]
    decide(hands, decisions, author="bob", code_version="1")
    return hands


@pytest.fixture
def tessera(labelled, capsys):
    """Run a verb on the archive; give its status, its JSON, and what it said on stderr."""

    def call(*arguments, as_json=True):
        more = ["--archive", str(labelled.root), *(["--json"] if as_json else [])]
        status = run(["versions", *map(str, arguments), *more])
        out, err = capsys.readouterr()
        return status, json.loads(out) if as_json and out else out, err

    return call


def test_versions_are_listed_the_newest_first(tessera):
    status, out, _ = tessera("list", as_json=False)

    assert status == 0
    head, newest, oldest, line = out.splitlines()
    assert head.split() == [
        "version",
        "when",
        "(UTC)",
        "author",
        "method",
        "labels",
        "parent",
        "digest",
    ]
    assert newest.split()[0] == "1"
    assert oldest.split()[0] == "0"
    assert line.startswith("listed versions=2 newest=1 digest=")


def test_an_archive_without_labels_lists_none(tmp_path, capsys):
    create_archive(tmp_path / "empty")

    assert run(["versions", "list", "--archive", str(tmp_path / "empty")]) == 0
    assert capsys.readouterr().out == "listed versions=0\n"


def test_a_version_says_what_it_holds_and_who_made_it(tessera):
    _, said, _ = tessera("show", 1)

    assert said["counts"] == [
        {"label": "left", "state": "accepted", "n": 1},
        {"label": "right", "state": "given", "n": 58},
        {"label": None, "state": "undeterminable", "n": 1},
    ]
    assert (said["about"]["author"], said["about"]["parent_version"]) == ("bob", 0)
    assert said["about"]["rules"] == {"decisions": {"label": 1, "undeterminable": 1}}


def test_two_versions_are_compared_in_text_json_and_html(tessera, labelled):
    _, said, _ = tessera("diff", 0, 1)
    _, text, _ = tessera("diff", 0, as_json=False)

    assert (said["changed"], said["same"]) == (2, 58)
    assert {(t["label_after"], t["state_after"], t["n"]) for t in said["transitions"]} == {
        ("left", "accepted", 1), (None, "undeterminable", 1),
    }  # fmt: skip
    left, _right = said["populations"]
    assert (left["before"]["n_class"], left["after"]["n_class"], left["after"]["n_total"]) == (
        0,
        1,
        59,
    )
    assert "right, given  left, accepted" in text
    page = (labelled.reports / "labels-0-1.html").read_text()
    assert "right, given → left, accepted" in page
    assert "<img" in page
    assert "parent_version</th><td>-</td><td>0</td>" in page


def test_a_version_that_is_not_there_is_refused_in_one_line(tessera):
    status, _, err = tessera("diff", 0, 9)

    assert status == 2
    assert err.count("\n") == 1
    assert "label version 9 does not exist" in err


def test_a_rollback_restores_the_digest_and_says_so(tessera, labelled):
    first = list_versions(labelled)[0]

    status, said, _ = tessera("rollback", 0, "--author", "cleo")

    assert (status, said["done"], said["version"], said["to"]) == (0, "restored", 2, 0)
    assert said["digest"] == first.digest
    assert current_version(labelled).author == "cleo"
    assert tessera("rollback", 0)[1]["unchanged"] is True


def test_an_honest_archive_is_verified_and_a_damaged_one_fails_with_the_version(tessera, labelled):
    status, said, err = tessera("verify")
    assert (status, said["done"], said["versions"]) == (0, "verified", 2)
    assert "verify: 2/2 commits" in err

    log = labelled.table("labels") / "_delta_log" / f"{1:020d}.json"
    log.write_text(log.read_text().replace('"bob"', '"eve"'))

    status, said, err = tessera("verify")
    assert (status, said["done"], said["damaged_version"]) == (1, "damaged", 1)
    assert "is damaged: label version 1: what it says of itself was changed" in err.splitlines()[-1]


def test_decided_labels_are_released(tessera):
    _, said, _ = tessera("release")

    assert (said["released"], said["in_doubt"], said["given"]) == (2, 0, 58)


def test_parquet_holds_all_rows_and_names_the_version(tessera, labelled, tmp_path):
    _, said, _ = tessera("export", "--format", "parquet", "--out", tmp_path / "l.parquet")

    table = pq.read_table(tmp_path / "l.parquet")
    assert said["labels"] == table.num_rows == 60
    assert table.schema.metadata[b"tessera.digest"].decode() == current_version(labelled).digest


def test_coco_has_the_boxes_and_masks_of_all_particles_with_a_label(tessera, labelled, tmp_path):
    _, said, _ = tessera("export", "--format", "coco", "--out", tmp_path / "coco.json")

    coco = COCO(str(tmp_path / "coco.json"))
    assert (said["labels"], said["left_out"]) == (59, 1)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["left", "right"]
    instances = open_instances(labelled.mosaic("synthesis"))
    pixels = instances.read(Window(0, 0, *instances.level(0).shape))
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = pixels == annotation["attributes"]["instance"]
        assert (coco.annToMask(annotation).astype(bool) == mask).all()
        x, y, width, height = annotation["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum() == annotation["area"]
    left = coco.loadAnns(coco.getAnnIds(catIds=[1]))
    assert [(a["attributes"]["instance"], a["attributes"]["state"]) for a in left] == [
        (58, "accepted")
    ]


@pytest.mark.parametrize("images", [False, True])
def test_ome_zarr_labels_carry_a_colour_and_properties_for_every_instance(
    tessera, labelled, tmp_path, images
):
    flag = ["--images"] if images else []

    tessera("export", "--format", "ome-zarr", "--out", tmp_path / "zarr", *flag)

    path = tmp_path / "zarr" / "synthesis.ome.zarr" / "labels" / "labels"
    label = ImageLabel.from_zarr(zarr.open_group(path, mode="r")).ome_attributes.image_label
    assert len(label.colors) == len(label.properties) == 60
    colours = {colour.label_value: colour.rgba for colour in label.colors}
    assert colours[1] == colours[2] != colours[58] != colours[59]
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
    assert attributes["properties"][57]["label"] == "left"
    assert ("source" in attributes) == images
    before = open_instances(labelled.mosaic("synthesis")).level(0)[...]
    assert (zarr.open_array(path / "0", mode="r")[...] == before).all()
    assert (tmp_path / "zarr" / "synthesis.ome.zarr" / "0").exists() == images


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"out": "inside"}, "--out must lie outside the archive"),
        ({"out": "there"}, "exists; --force replaces it"),
        ({"out": "new", "images": True}, "--images goes with --format ome-zarr alone, got csv"),
        ({"out": "new", "version": 9}, "label version 9 does not exist"),
    ],
)
def test_exports_that_cannot_be_are_refused_and_leave_nothing(labelled, tmp_path, given, message):
    places = {
        "inside": labelled.root / "x.csv", "there": tmp_path / "t.csv", "new": tmp_path / "n.csv",
    }  # fmt: skip
    places["there"].write_text("mine")

    with pytest.raises(ValueError, match=message):
        export(
            ExportSettings(
                archive=labelled.root, format="csv", **{**given, "out": places[given["out"]]}
            )
        )

    assert places["there"].read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "t.csv"]


def edit(path, **changes):
    """Change lines of a CSV file: instance -> {column: value}."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line.update(changes.get(f"i{line['instance']}", {}))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


@pytest.fixture
def sheet(tessera, tmp_path):
    """A CSV export of version 1."""
    tessera("export", "--format", "csv", "--out", tmp_path / "labels.csv")
    return tmp_path / "labels.csv"


def states(archive):
    rows = read_labels(archive, with_unlabelled=True).to_pylist()
    return {row["instance"]: (row["label"], row["state"], row["decided_by"]) for row in rows}


def test_an_edited_export_becomes_a_version(tessera, labelled, sheet):
    edit(
        sheet,
        i1={"label": "left"},
        i2={"state": "flagged"},
        i3={"label": "undeterminable", "reason": "blurred"},
    )

    status, said, _ = tessera("import", sheet, "--author", "cleo")

    assert (status, said["edited"], said["version"], said["exported_version"]) == (0, 3, 2, 1)
    found = states(labelled)
    assert found[1] == ("left", "accepted", "cleo")
    assert found[2] == ("right", "flagged", "cleo")
    assert found[3] == (None, "undeterminable", "cleo")
    assert found[4] == ("right", "given", None)


def test_an_export_that_nobody_edited_makes_no_version(tessera, labelled, sheet):
    _, said, _ = tessera("import", sheet)

    assert (said["edited"], said["unchanged"], said["version"]) == (0, True, 1)


def test_ids_that_a_spreadsheet_rounded_do_no_harm(tessera, labelled, sheet):
    with sheet.open(newline="") as file:
        lines = list(csv.DictReader(file))
    rounded = {
        f"i{line['instance']}": {"particle_id": f"{int(line['particle_id']):.5E}"} for line in lines
    }
    edit(sheet, **rounded)
    edit(sheet, i1={"label": "left"})

    assert tessera("import", sheet)[0] == 0
    assert states(labelled)[1][:2] == ("left", "accepted")


def test_a_label_that_somebody_changed_since_the_export_is_shown_and_refused(
    tessera, labelled, sheet
):
    decide(labelled, [decided(labelled, 0, "accept")], author="bob", code_version="1")
    edit(sheet, i1={"label": "left"}, i2={"label": "left"})

    status, _, err = tessera("import", sheet)

    assert status == 2
    table, row, line = err.splitlines()
    assert table.split()[:4] == ["mosaic", "instance", "seen", "label"]
    assert row.split() == [
        "synthesis",
        "1",
        "right",
        "given",
        "right",
        "accepted",
        "left",
        "accepted",
    ]
    assert line.startswith("tessera: 1 labels were changed by others since")
    assert states(labelled)[2] == ("right", "given", None)


@pytest.mark.parametrize(
    ("choice", "first"), [("mine", ("left", "accepted")), ("theirs", ("right", "accepted"))]
)
def test_a_conflict_can_be_decided(tessera, labelled, sheet, choice, first):
    decide(labelled, [decided(labelled, 0, "accept")], author="bob", code_version="1")
    edit(sheet, i1={"label": "left"}, i2={"label": "left"})

    assert tessera("import", sheet, "--on-conflict", choice)[0] == 0

    assert states(labelled)[1][:2] == first
    assert states(labelled)[2][:2] == ("left", "accepted")


def test_a_refused_proposal_gets_the_label_from_before_it(tessera, labelled, tmp_path):
    row = read_labels(labelled).to_pylist()[0] | {"label": "left", "state": "proposed"}
    commit_labels(
        labelled, to_table("labels", [row]), method="clean", author="x", run_id="",
        code_version="1",
    )  # fmt: skip
    tessera("export", "--format", "csv", "--out", tmp_path / "p.csv")
    edit(tmp_path / "p.csv", i1={"state": "rejected"})

    tessera("import", tmp_path / "p.csv")

    assert states(labelled)[1][:2] == ("right", "rejected")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"i2": {"state": "perhaps"}}, "line 3: state must be one of given, .*, got 'perhaps'"),
        ({"i2": {"label": "<b>"}}, "line 3: a class is named by .*, got '<b>'"),
        ({"i2": {"instance": "77", "particle_id": ""}}, "3: version 1 has no label of particle 77"),
        ({"i2": {"instance": "1", "particle_id": ""}}, "3: .* stands twice, above in line 2"),
        ({"i2": {"instance": "two"}}, "3: instance must be a positive .*, got 'two'"),
        ({"i2": {"particle_id": "12"}}, "3: particle_id 12 is not that of synthesis instance 2"),
        ({"i58": {"state": "proposed"}}, "59: .* is accepted; it cannot become proposed"),
        ({"i2": {"state": "accepted", "label": ""}}, "3: a label in state accepted must"),
        ({"i2": {"exported_state": "flagged"}}, "3: exported_state .*'given', got 'flagged'"),
        ({"i2": {"exported_version": "0"}}, "3: exported_version must be 1 .*'0'"),
        ({"i2": {"segmentation": "s9"}}, "3: segmentation must stay .*'s9'"),
        ({"i2": {"hue": "red"}}, None),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_line_and_value(
    tessera, labelled, sheet, changes, message
):
    if message is None:
        head, *rest = sheet.read_text().splitlines()
        sheet.write_text("\n".join([f"{head},hue", *(f"{line},red" for line in rest)]))
        message = "line 1: there is no column 'hue'; columns are mosaic, instance"
    else:
        edit(sheet, **changes)

    status, _, err = tessera("import", sheet)

    assert status == 2
    assert re.search(message, err), err
    assert err.count("\n") == 1
    assert current_version(labelled).version == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: column label is missing"),
        (f"mosaic,instance,{SAID}\n", "has no line below its head"),
        (f"mosaic,instance,{SAID}\nm,1,left\n", "line 2: it must have 7 values"),
        (f"mosaic,{SAID}\nm,a,b,1,a,b\n", "line 1: column instance is missing"),
    ],
)
def test_a_file_without_its_columns_is_refused(tessera, tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)

    status, _, err = tessera("import", path)

    assert status == 2
    assert message in err


def test_a_file_that_is_not_there_is_refused(tessera, tmp_path):
    assert "does not exist" in tessera("import", tmp_path / "no.csv")[2]
