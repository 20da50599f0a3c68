"""Five nights of a laboratory: a first model, more mosaics, bad files, a crash, bad labels."""

import itertools
import shutil
import time
from pathlib import Path

import pytest

from pipelines.quarantine import list_quarantine
from pipelines.tables import read_rows
from services.label_check import verify_versions
from services.label_store import (
    LabelVersion,
    current_version,
    list_versions,
    read_labels,
    rollback,
)
from services.nightly.journal import Journal
from services.outcome import Outcome
from services.verbs import relabel
from tests.laboratory import Laboratory

pytestmark = [
    pytest.mark.ray,
    # Ray Data copies its settings, and the copy sets those that it deprecates itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ray.util.annotations.RayDeprecationWarning"),
]
#: How long a night in a process of its own may take; nothing is measured against it.
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory, embedded_ray) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("lab")).open()


@pytest.fixture(scope="module")
def first(lab) -> Outcome:
    """Two mosaics, and no model yet."""
    lab.scan("a", seed=1)
    lab.scan("b", seed=2)
    return lab.relabel("night-1")


@pytest.fixture(scope="module")
def second(lab, first) -> Outcome:
    """One mosaic more."""
    lab.scan("c", seed=3)
    return lab.relabel("night-2")


@pytest.fixture(scope="module")
def third(lab, second) -> Outcome:
    """Files that look like images and are none."""
    (lab.scans / "broken.tif").write_bytes(b"II*\0" + b"nonsense" * 20)
    (lab.scans / "empty.png").write_bytes(b"")
    return lab.relabel("night-3")


@pytest.fixture(scope="module")
def fourth(lab, third) -> tuple[Journal, Outcome]:
    """A mosaic more; the night is killed when it has cleaned, and begun again."""
    lab.scan("d", seed=4)
    process = lab.begin("night-4")
    deadline = time.monotonic() + PATIENCE_S
    while not ((journal := lab.journal("night-4")) and journal.values("clean")):
        assert process.poll() is None, lab.said("night-4")
        assert time.monotonic() < deadline, lab.said("night-4")
        time.sleep(0.05)
    process.kill()
    process.wait()
    killed = lab.journal("night-4")
    return killed, lab.relabel("night-4")


@pytest.fixture(scope="module")
def fifth(lab, fourth) -> Outcome:
    """A mosaic more, and somebody decides every other label, and decides it wrong."""
    lab.sabotage()
    lab.scan("e", seed=5)
    return lab.relabel("night-5")


def test_the_first_night_makes_a_champion(lab, first):
    assert first.status == 0
    # The reference was taken in by hand before.
    assert lab.journal("night-1").values("ingest")["new"] == ["a", "b", "reference"]
    assert first.values["promoted"] is True
    assert first.values["champion"] == "models:/classifier/1"
    assert lab.accuracy["night-1"] > 0.8


def test_the_second_night_takes_in_the_new_mosaic_alone(lab, second):
    journal = lab.journal("night-2")

    assert second.status == 0
    assert second.values["mosaics"] == 1
    assert journal.values("segment")["tiles"] == 1
    assert journal.values("label")["mosaics"] == 1


def test_bad_files_are_put_in_quarantine_and_the_night_says_so(lab, third):
    assert third.status == 3
    assert third.n_quarantined == 2
    assert {case.mosaic for case in list_quarantine(lab.archive)} == {"broken", "empty"}


def test_a_killed_night_goes_on_after_its_last_step(lab, fourth):
    killed, outcome = fourth
    journal = lab.journal("night-4")

    # The bad files of the night before are no news.
    assert outcome.status == 0
    assert (killed.status, journal.status) == ("running", "done")
    assert journal.attempts == 2
    # What was done before the kill was done once.
    assert journal.steps[: len(killed.steps)] == killed.steps
    assert "d" in read_labels(lab.archive)["mosaic"].to_pylist()


def test_a_candidate_that_learnt_from_wrong_labels_is_not_promoted(fourth, fifth):
    assert fifth.values["candidate"] != fifth.values["champion"]
    assert fifth.values["promoted"] is False
    assert fifth.values["champion"] == fourth[1].values["champion"]
    assert "not promoted: -" in fifth.values["why"]


def test_the_champion_never_gets_worse_by_more_than_a_point(lab, fifth):
    accuracy = list(lab.accuracy.values())

    assert len(accuracy) == 5
    assert all(after >= before - 0.01 for before, after in itertools.pairwise(accuracy)), accuracy


def test_every_night_leaves_a_report_and_a_row(lab, fifth):
    nights = read_rows(lab.archive, "nights").sort_by("started")

    assert nights["run_id"].to_pylist() == [f"night-{i}" for i in range(1, 6)]
    pages = [Path(lab.outcomes[f"night-{i}"].values["report"]).read_text() for i in range(1, 6)]
    assert all("Candidate and champion" in page for page in pages)
    assert "broken" in pages[2]
    assert fifth.values["why"] in pages[4]


def test_the_same_slot_again_does_nothing(lab, fifth):
    before = current_version(lab.archive)
    again = relabel.execute(lab.settings("night-5"))

    assert again.status == 0
    assert again.values["already"] is True
    assert current_version(lab.archive) == before


@pytest.fixture(scope="module")
def restored(lab, fifth) -> tuple[LabelVersion, LabelVersion]:
    """The labels before the sabotage, and the version that brings them back."""
    versions = {version.version: version for version in list_versions(lab.archive)}
    sabotage = next(v for v in versions.values() if v.method == "sabotage")
    good = versions[sabotage.parent_version]
    return good, rollback(lab.archive, good.version, author="ada", code_version="1")


def test_going_back_restores_the_labels_and_every_version_can_be_verified(lab, restored):
    good, made = restored

    assert made.digest == good.digest
    assert read_labels(lab.archive, made.version).equals(read_labels(lab.archive, good.version))
    assert verify_versions(lab.archive).damaged_version is None


@pytest.fixture(scope="module")
def sixth(lab, restored) -> Outcome:
    """A night that learns from the labels that were brought back."""
    return lab.relabel("night-6")


def test_a_night_without_news_reads_no_tile(lab, sixth):
    # Chunks that are not there cannot be read.
    places = {}
    for number, chunks in enumerate(sorted(lab.archive.mosaics.rglob("c"))):
        places[chunks] = lab.folder / "aside" / str(number)
        places[chunks].parent.mkdir(exist_ok=True)
        shutil.move(chunks, places[chunks])

    quiet = relabel.execute(lab.settings("night-7"))

    for chunks, aside in places.items():
        shutil.move(aside, chunks)
    assert places
    assert quiet.status == 0
    assert quiet.values["changes"] == 0
    assert "Nothing" in Path(quiet.values["report"]).read_text(encoding="utf-8")
