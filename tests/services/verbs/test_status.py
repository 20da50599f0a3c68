import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines import tables
from pipelines.archive import create_archive
from pipelines.places import place
from pipelines.quarantine import Quarantined, put_in_quarantine
from services import cli
from services.champions import Champion, remember_champion
from services.label_store import commit_labels
from services.lock import hold
from services.scheduling.schedule import Schedule, write_schedule
from services.status import disk_use, read_status


@pytest.fixture
def archive(tmp_path, archive_maker):
    """Two mosaics, labels in every kind of state, a champion, a schedule, failures."""
    archive = create_archive(tmp_path / "lab")
    archive_maker.mosaic(archive, "one", ["right"] * 3)
    archive_maker.mosaic(archive, "two", ["left"] * 2)
    archive_maker.labels(archive, {("one", i): "right" for i in (1, 2, 3)})
    rows = tables.read_rows(archive, "labels").to_pylist()
    states = ("proposed", "flagged", "accepted")
    decided = [{**row, "state": state} for row, state in zip(rows, states, strict=True)]
    commit_labels(
        archive, tables.to_table("labels", decided), method="clean", author="bob", run_id="",
        code_version="1",
    )  # fmt: skip
    remember_champion(
        archive,
        "hands",
        Champion("7", "2026-11-20T02:41:00+00:00", "nightly", "promote", "1.2 points better"),
    )
    write_schedule(archive, Schedule("04:00", "Europe/Berlin", (), "systemd"))
    put_in_quarantine(archive, Quarantined("ingest", "", "bad.tif", "is empty"))
    return archive


def fail(archive):
    with hold(archive):
        raise ValueError("labels are gone")


def test_everything_is_told_at_once(archive):
    with hold(archive) as run:
        run.conclude("nothing new")
    with pytest.raises(ValueError, match="gone"):
        fail(archive)

    status = read_status(archive, n_runs=5, now=datetime(2027, 3, 27, 12, 0, tzinfo=UTC))

    assert status.n_mosaics == 2
    assert [run.how for run in status.runs] == ["failed", "done"]
    assert status.runs[0].reason == "ValueError: labels are gone"
    assert status.champions["hands"].version == "7"
    assert (status.labels.version, status.labels.author) == (1, "bob")
    assert status.states == {"proposed": 1, "flagged": 1, "accepted": 1}
    assert status.n_to_review == 2
    assert [case.reason for case in status.quarantine] == ["is empty"]
    # The night on which the clocks go forward.
    assert status.next_slot == datetime(2027, 3, 28, 2, 0, tzinfo=UTC)
    assert status.holder is None


def test_a_run_that_goes_on_is_told(archive):
    with hold(archive):
        status = read_status(archive, n_runs=5)

    assert [run.how for run in status.runs] == ["running"]
    assert status.holder.token == status.runs[0].token


def test_the_screen_has_a_line_for_each_thing(archive, capsys):
    with hold(archive) as run:
        run.conclude("nothing new")

    status = cli.run(["status", "--archive", str(archive.root)])

    said = capsys.readouterr().out
    assert status == 0
    assert len(said.splitlines()) < 24
    assert "champion    hands/7 since 2026-11-20 02:41 UTC, by nightly: 1.2 points better" in said
    assert "labels      version 1: 3 particles" in said
    assert "to review   2 labels: 1 proposed, 1 flagged" in said
    assert "quarantine  ingest 1; such as bad.tif: is empty" in said
    assert "04:00 Europe/Berlin (systemd)" in said
    assert "nothing new" in said
    assert "read mosaics=2" in said.splitlines()[-1]


def test_scripts_get_the_same_as_json(archive, capsys):
    fail_quietly(archive)

    cli.run(["status", "--archive", str(archive.root), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert said["champions"]["hands"]["since"] == "2026-11-20T02:41:00+00:00"
    assert said["labels"]["states"]["flagged"] == 1
    assert said["runs"][0]["reason"] == "ValueError: labels are gone"
    assert said["schedule"]["time_zone"] == "Europe/Berlin"
    assert said["disk"]["archive_bytes"] > 0


def fail_quietly(archive):
    with pytest.raises(ValueError, match="gone"):
        fail(archive)


def test_an_archive_in_which_nothing_happened_has_a_status_too(tmp_path, capsys):
    archive = create_archive(tmp_path / "a")

    assert cli.run(["status", "--archive", str(archive.root)]) == 0

    said = capsys.readouterr().out
    assert "no runs yet" in said
    assert "champion    none" in said


def test_nothing_is_written_and_no_pixel_is_read(archive, monkeypatch):
    import zarr

    def refuse(*_):
        raise AssertionError("pixels were read")

    monkeypatch.setattr(zarr.Array, "__getitem__", refuse)
    before = {path: path.stat().st_mtime_ns for path in archive.root.rglob("*")}

    read_status(archive, n_runs=5)

    assert {path: path.stat().st_mtime_ns for path in archive.root.rglob("*")} == before


def test_an_archive_of_too_many_files_is_counted_in_part(archive):
    whole, part = disk_use(archive, for_s=60), disk_use(archive, for_s=-1)

    files = [path for path in archive.root.rglob("*") if path.is_file()]
    assert (whole.archive_bytes, whole.is_whole) == (sum(p.stat().st_size for p in files), True)
    assert (part.archive_bytes, part.is_whole) == (0, False)


def test_an_archive_in_a_bucket_has_no_disk(bucket):
    archive = create_archive(place(f"s3://{bucket}/lab"))
    place(f"s3://{bucket}/lab/reports/page.html").write_bytes(b"x" * 1000)

    disk = disk_use(archive, for_s=60)

    assert disk.archive_bytes == 1000 + archive.description.stat().st_size
    assert (disk.free_bytes, disk.total_bytes) == (None, None)


@pytest.mark.parametrize(
    ("after_s", "expected"),
    [(10, "segment: 30/120 tiles, 3/s, 30s left"), (400, "30s left; no news for 6m40s")],
)
def test_a_run_that_goes_on_says_how_far_it_has_come(archive, after_s, expected):
    from services.live_progress import LiveProgress
    from services.progress import Standing
    from services.verbs.status import _screen

    at = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
    live = LiveProgress(Standing("segment", 30, 120, "tiles", 10.0), at)
    with hold(archive):
        status = replace(read_status(archive, n_runs=5), progress=live)

    said = _screen(status, at + timedelta(seconds=after_s))

    (line,) = [line for line in said.splitlines() if line.startswith("progress")]
    assert line.endswith(expected)
