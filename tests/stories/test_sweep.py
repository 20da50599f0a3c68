"""A sweep from nothing to its report, cut short in the middle and gone on with."""

import csv

import pytest

from pipelines.archive import open_archive
from pipelines.tables import read_rows

pytestmark = pytest.mark.ray


def results(archive):
    return {path.parent.name: path.stat().st_mtime_ns for path in archive.glob(RESULTS)}


RESULTS = ".work/sweeps/*/result.json"


def test_a_sweep_that_is_killed_and_interrupted_goes_on_without_repeating_what_is_done(
    tessera, typed, begin, tmp_path
):
    archive = tmp_path / "archive"
    command = ["sweep", "--preset", "smoke", "--archive", archive]
    # Particles are drawn and found here by one process, and two trials run side by side.
    command += ["--workers", 1, "--trials-at-once", 2]

    begun = begin(*command)
    begun.wait_until(lambda: results(archive))
    begun.kill()
    before = results(archive)
    interrupted = begin(*command)
    interrupted.wait_until(lambda: "to go" in interrupted.stderr)
    interrupted.interrupt()
    assert interrupted.wait() == 130
    assert "the same command goes on from here" in interrupted.stderr
    assert "Traceback" not in interrupted.stderr
    done = tessera(*command)
    after = results(archive)
    again = typed(*command)

    assert done.returncode == 0, done.stderr
    assert "swept trials=4" in done.stdout
    assert len(after) == 4
    assert {key: after[key] for key in before} == before
    assert again.returncode == 0, again.stderr
    assert "trials=4 unchanged=4" in again.stdout
    assert results(archive) == after
    rows = read_rows(open_archive(archive), "trials").to_pylist()
    assert sorted((row["method"], row["error_rate"]) for row in rows) == [
        ("ce", 0.2), ("ce", 0.4), ("co-teaching", 0.2), ("co-teaching", 0.4)
    ]  # fmt: skip
    assert all(row["run_id"] for row in rows)
    assert all(abs(row["realised_error_rate"] - row["error_rate"]) < 0.01 for row in rows)
    # Easy particles are told in spite of wrong labels, or nothing was learnt.
    assert min(row["last"] for row in rows) > 0.8
    (page,) = archive.glob("reports/sweep-*.html")
    assert "Accuracy against wrong labels" in page.read_text()
    (table,) = archive.glob("reports/sweep-*/trials.csv")
    with table.open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert (table.parent / "accuracy.png").stat().st_size > 5000
