"""A year later: who changed this label, does it survive a better segmentation, can one go back."""

import csv
import json

import pytest

from pipelines.archive import open_archive
from pipelines.tables import read_rows
from services.cli import run
from services.label_store import read_labels

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]


@pytest.fixture
def say(embedded_ray, tmp_path, capsys):
    """Run a verb on the archive; return its JSON, or fail with what it said."""

    def say(*arguments, status=0):
        more = () if arguments[0] == "simulate" else ("--archive", tmp_path / "a")
        found = run([str(argument) for argument in (*arguments, *more, "--json")])
        out, err = capsys.readouterr()
        assert found == status, err
        return json.loads(out)

    return say


def places(archive, column):
    """Return a column of the labels by where the particle lies."""
    particles = read_rows(archive, "particles").to_pylist()
    rows = {
        (row["particle_id"], row["segmentation"]): row[column]
        for row in read_labels(archive, with_unlabelled=True).to_pylist()
    }
    return {
        (round(p["centroid_y_px"]), round(p["centroid_x_px"])): rows[key]
        for p in particles
        if (key := (p["particle_id"], p["segmentation"])) in rows
    }


def rewrite(path, change):
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        change(line)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def test_what_people_decided_outlives_a_new_segmentation_and_can_be_gone_back_from(say, tmp_path):
    say("simulate", tmp_path / "m", "--preset", "easy", "--size-px", 1024, "--particles", 60)
    say("ingest", tmp_path / "m")
    say("segment", "--workers", 1)
    weak = say("label", "--assume", "right", "--include-flagged")
    archive = open_archive(tmp_path / "a")

    # A person corrects every third label in a spreadsheet, and checks ten particles for good.
    sheet, trust = tmp_path / "labels.csv", tmp_path / "check.csv"
    say("versions", "export", "--format", "csv", "--out", sheet)
    rewrite(sheet, lambda line: int(line["instance"]) % 3 or line.update(label="left"))
    edited = say("versions", "import", sheet, "--author", "ada")
    say("trust", "sample", "--out", trust, "--n", 10)
    rewrite(trust, lambda line: line.update(label="right"))
    say("trust", "import", trust, "--author", "ada")
    decided = places(archive, "decided_by")
    assert list(decided.values()).count("ada") == edited["edited"] > 10

    # Particles at the edge are dropped now, so that the numbers of the others change.
    ids = set(read_labels(archive)["particle_id"].to_pylist())
    again = say("segment", "--workers", 1, "--clear-border")
    assert again["instances"] < len(ids)
    assert again["labels_carried"] == again["instances"]
    assert again["labels_lost"] == len(ids) - again["instances"]
    still = places(archive, "decided_by")
    assert still == {place: who for place, who in decided.items() if place in still}
    assert again["trusted_carried"] == say("trust", "show")["trusted"] > 5

    # Later somebody asks what happened, goes back, and finds everything as it was.
    history = say("versions", "list")["list"]
    assert [version["method"] for version in history] == ["carry over", "import", "assume"]
    assert say("versions", "diff", weak["version"], edited["version"])["transitions"] == [
        {
            "label_before": "right", "state_before": "given",
            "label_after": "left", "state_after": "accepted", "n": edited["edited"],
        }
    ]  # fmt: skip
    back = say("versions", "rollback", weak["version"])
    assert back["digest"] == weak["digest"]
    assert say("versions", "verify")["versions"] == 4
