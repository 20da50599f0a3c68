import pytest

from pipelines.archive import create_archive
from services.nightly.changes import Change, Snapshot
from services.nightly.plans import (
    Plan,
    forget_plans,
    read_left,
    read_plan,
    write_left,
    write_plan,
)

PLAN = Plan(
    (Change("file", "/scans/a.tif", "new"),),
    Snapshot(labels="l1"),
    Snapshot(sources={"/scans/a.tif": "[1, 2]"}, results={"train": 1}, labels="l1"),
    ({"stage": "ingest", "unit": "/scans/b.tif"},),
)


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "a")


def test_a_plan_comes_back_as_it_was_written(archive):
    write_plan(archive, "night", PLAN)

    assert read_plan(archive, "night") == PLAN
    assert read_plan(archive, "night").digest == PLAN.digest
    assert read_plan(archive, "another") is None


def test_plans_are_forgotten_all_together(archive):
    write_plan(archive, "night", PLAN)
    write_plan(archive, "another", PLAN)

    forget_plans(archive)

    assert read_plan(archive, "night") is None
    assert read_plan(archive, "another") is None


def test_what_a_night_left_is_what_the_next_one_finds(archive):
    assert read_left(archive) == Snapshot()

    write_left(archive, PLAN.now)

    assert read_left(archive) == PLAN.now
