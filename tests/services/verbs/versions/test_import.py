import csv
import re

import pytest

from pipelines.tables import to_table
from services.label_decisions import Decision, decide
from services.label_store import commit_labels, current_version, read_labels

SAID = "label,state,exported_version,exported_label,exported_state"


def accept_first(archive):
    """Accept the label in the first row."""
    particle = read_labels(archive, with_unlabelled=True)["particle_id"][0].as_py()
    decide(archive, [Decision(particle, "accept")], author="bob", code_version="1")


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
    accept_first(labelled)
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
    accept_first(labelled)
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
