"""Several processes that commit labels at once: nothing that anybody decided is lost."""

import multiprocessing

import pytest

from pipelines.archive import Archive, create_archive
from pipelines.tables import to_table
from services.label_check import verify_versions
from services.label_decisions import Decision, decide
from services.label_store import commit_labels, list_versions, read_labels

N_PARTICLES = 60
N_ROUNDS = 5
PEOPLE = ("ada", "bob", "cleo")


def rows(instances, label, state="given"):
    return to_table(
        "labels",
        [
            {
                "particle_id": instance,
                "mosaic": "m",
                "instance": instance,
                "segmentation": "s1",
                "label": label,
                "state": state,
                "source": "rules",
                "method": "majority",
            }
            for instance in instances
        ],
    )


def decide_own(root, person, barrier):
    """Accept one label after another, each in a version of its own."""
    archive = Archive(root)
    barrier.wait()
    for number in range(N_ROUNDS):
        own = 1 + PEOPLE.index(person) + number * len(PEOPLE)
        decision = Decision(own, "label", label=person)
        decide(archive, [decision], author=person, code_version="1")


def label_nightly(root, barrier):
    """Label everything weakly and propose for all, again and again."""
    archive = Archive(root)
    everyone = range(1, N_PARTICLES + 1)
    who = {"author": "night", "run_id": "r", "code_version": "1"}
    barrier.wait()
    for night in range(N_ROUNDS):
        weak = commit_labels(
            archive, rows(everyone, f"weak{night}"), method="rules", mosaics=["m"], **who
        )
        undecided = read_labels(archive, weak.version)
        undecided = undecided.filter(
            [s in ("given", "proposed") for s in undecided["state"].to_pylist()]
        )
        commit_labels(
            archive,
            rows(undecided["instance"].to_pylist(), f"night{night}", "proposed"),
            method="clean",
            base=weak.version,
            on_conflict="theirs",
            **who,
        )


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """An archive after three people and a nightly job wrote to it at once."""
    archive = create_archive(tmp_path_factory.mktemp("crowd") / "a")
    commit_labels(
        archive, rows(range(1, N_PARTICLES + 1), "right"), method="rules", author="ada",
        run_id="", code_version="1",
    )  # fmt: skip
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(PEOPLE) + 1)
    writers = [
        context.Process(target=decide_own, args=(archive.root, person, barrier))
        for person in PEOPLE
    ]
    writers.append(context.Process(target=label_nightly, args=(archive.root, barrier)))
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * len(writers)
    return archive


def test_no_decision_of_anybody_is_lost(crowded):
    labels = {row["instance"]: row for row in read_labels(crowded).to_pylist()}

    for place, person in enumerate(PEOPLE):
        for number in range(N_ROUNDS):
            own = labels[1 + place + number * len(PEOPLE)]
            assert (own["label"], own["state"], own["decided_by"]) == (person, "accepted", person)


def test_the_nightly_job_lands_wherever_nobody_decided(crowded):
    n_decided = len(PEOPLE) * N_ROUNDS
    others = [row for row in read_labels(crowded).to_pylist() if row["instance"] > n_decided]

    assert {(row["label"], row["state"]) for row in others} == {("night4", "proposed")}


def test_every_version_has_the_one_before_it_as_its_parent(crowded):
    versions = list_versions(crowded)

    assert [v.parent_version for v in versions] == [None, *(v.version for v in versions[:-1])]
    assert [v.parent_digest for v in versions] == [None, *(v.digest for v in versions[:-1])]
    assert {v.author for v in versions} == {*PEOPLE, "night"}
    assert verify_versions(crowded).damaged_version is None
