"""The README's page "Every night", followed to the letter by somebody who has nothing yet."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.archive import open_archive
from pipelines.segmentation.scoring import known_labels
from services.champions import read_champions
from services.nightly.journal import list_journals
from services.outcome import Outcome

pytestmark = pytest.mark.ray

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Return what stands in the page's fences of a language, in order."""
    _, _, page = README.read_text(encoding="utf-8").partition("\n## Every night\n")
    page, _, _ = page.partition("\n## ")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


@pytest.fixture
def shell(tmp_path, own_home):
    """Run lines as a user's shell does, in an empty folder, with `tessera` on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "tessera"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m services "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "user"
    folder.mkdir()
    root = str(README.parent)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
    }

    def run(lines: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", lines],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.folder = folder
    return run


def fill_in(folder: Path) -> None:
    """Be the person who looks at the particles: write down what the images show."""
    known = known_labels(open_archive(folder / "lab"), ["monday"])
    known = known.filter(known["determinable"])
    truth = dict(zip(known["particle_id"].to_pylist(), known["label"].to_pylist(), strict=True))
    path = folder / "sheet.csv"
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        sheet = csv.DictWriter(file, list(lines[0]))
        sheet.writeheader()
        for line in lines:
            label = truth.get(int(line["particle_id"]), "undeterminable")
            sheet.writerow({**line, "label": label})


@pytest.mark.cluster
def test_who_follows_the_page_has_a_champion_and_a_schedule_that_works(shell):
    (settings,) = blocks("toml")
    (shell.folder / "nights.toml").write_text(settings)
    first, sample, checked, schedule = blocks("sh")

    assert "champion=none promoted=False" in shell(first)
    archive = open_archive(shell.folder / "lab")
    assert read_champions(archive) == {}
    shell(sample)
    assert (archive.reports / "check-sheet.html").is_file()
    fill_in(shell.folder)
    assert "promoted=True" in shell(checked)
    assert read_champions(archive)["classifier"].version == "1"

    crontab = [line for line in shell(schedule).splitlines() if line.startswith("0 4 * * * ")]
    (line,) = crontab
    # As cron does it: the five fields are gone, and an escaped % is one.
    shell(line.split(" ", 5)[5].replace(r"\%", "%"))

    *_, scheduled = list_journals(archive)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", scheduled.run_id)
    assert scheduled.status == "done"
    assert scheduled.values("ingest")["new"] == ["tuesday"]
    assert (archive.reports / f"night-{scheduled.run_id}.html").is_file()


def test_the_page_names_every_exit_status_as_it_is():
    _, _, page = README.read_text(encoding="utf-8").partition("\n## Every night\n")

    assert "ends with status 75" in page
    assert f"ends with status {Outcome('x', n_quarantined=1).status}" in page
