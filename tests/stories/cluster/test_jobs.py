"""Verbs as jobs on a cluster whose nodes die: what comes out is what one machine makes."""

import json
import os
import re

import pytest

from pipelines.archive import Archive
from pipelines.quarantine import list_quarantine
from pipelines.tables import read_rows

pytestmark = pytest.mark.cluster


def test_the_main_job_gives_what_it_gives_on_one_machine_and_is_done_once(
    tessera, submit, digests, tmp_path
):
    made = tessera("simulate", tmp_path / "s", "--preset", "easy", "--size-px", 768, "--workers", 1)
    assert made.returncode == 0, made.stderr
    command = [
        "run",
        tmp_path / "s",
        "--assume",
        "right",
        "--epochs",
        1,
        "--segment-method",
        "otsu",
    ]

    here = tessera(*command, "--archive", tmp_path / "here", "--workers", 1)
    # A relative path means the same as here.
    there = submit(tessera, "--follow", "--", *command, "--archive", os.path.relpath(
        tmp_path / "there", os.environ["HOME"]
    ))  # fmt: skip
    again = submit(tessera, "--json", "--", *command, "--archive", tmp_path / "there")

    assert here.returncode == there.returncode == again.returncode == 0, there.stderr
    assert there.stdout.startswith("ran mosaics=1 particles=")
    assert "== predict" in there.stderr
    for table in ("particles", "labels", "predictions"):
        assert rows(tmp_path / "there", table) == rows(tmp_path / "here", table)
    assert instances(tmp_path / "there", digests) == instances(tmp_path / "here", digests)
    told = json.loads(again.stdout)
    assert not told["new"]
    assert told["exit"] == 0
    assert told["result"]["stdout"] == there.stdout.splitlines()[:-1]
    assert len((tmp_path / "there" / "runs.jsonl").read_text().splitlines()) == 2


def test_a_plan_asks_the_cluster_what_it_has_and_changes_nothing(nodes, tessera, drill, archive):
    before = sorted(path for path in archive.root.rglob("*"))

    planned = tessera(
        "plan", *drill.command(archive), "--address", nodes.head, **nodes.environment()
    )

    assert planned.returncode == 0, planned.stderr
    assert f"on the cluster at {nodes.head}: " in planned.stdout
    assert "2 workers of 1 core" in planned.stdout
    assert "planned verb=segment tiles=64 done=0 left=64 " in planned.stdout
    assert sorted(path for path in archive.root.rglob("*")) == before


def rows(root, table) -> list[str]:
    """Read a table without regard to the order of rows, and to when they were written."""
    found = read_rows(Archive(root), table)
    kept = [name for name in found.column_names if name not in ("at", "run_id", "updated_at")]
    return sorted(json.dumps(row, default=str) for row in found.select(kept).to_pylist())


def instances(root, digests):
    (name,) = Archive(root).mosaic_names()
    return digests(Archive(root).mosaic(name) / "labels" / "instances")


def test_a_node_that_dies_in_the_middle_costs_nothing_but_time(
    nodes, drill, archive, begin, submit, counts
):
    drill.be_slow()
    job = submit(begin, "--follow", "--", *drill.command(archive))
    job.wait_until(lambda: drill.n_done(archive) >= drill.n_tiles // 4)
    nodes.workers[0].kill()
    n_before = drill.n_done(archive)
    drill.be_quick()

    assert job.wait() == 0, job.stderr
    segmented, submitted = job.stdout.splitlines()
    assert n_before < drill.n_tiles
    assert counts(segmented)["tiles"] == drill.n_tiles
    assert submitted.endswith("status=succeeded exit=0")
    assert "workers were lost" in job.stderr
    assert drill.read(archive) == drill.result
    assert list_quarantine(archive) == []


def stop(job_id, nodes, tessera):
    words = ("jobs", "stop", job_id, "--address", nodes.dashboard)
    stopped = tessera(*words, **nodes.environment())
    assert (stopped.returncode, stopped.stdout) == (
        0,
        f"stopped job={job_id} was_over=False status=stopped\n",
    ), stopped.stderr


def kill_driver(job_id, nodes, tessera):
    (driver,) = nodes.drivers()
    driver.kill()


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (stop, 130, "was stopped; the same command goes on from there"),
        (kill_driver, 1, "was killed by signal 9"),
    ],
)
def test_a_job_that_is_stopped_or_dies_goes_on_when_it_is_submitted_again(
    nodes, drill, archive, tessera, begin, submit, counts, end, status, said
):
    words = ("--", *drill.command(archive))
    drill.be_slow()
    first = submit(begin, *words)
    first.wait_until(lambda: drill.n_done(archive) >= drill.n_tiles // 4)
    job_id = re.search(r"job (\S+) at", first.stderr).group(1)
    end(job_id, nodes, tessera)
    ended = first.wait()
    n_kept = drill.n_done(archive)
    drill.be_quick()

    second = submit(tessera, *words)

    assert (ended, first.stdout) == (
        status,
        f"submitted job={job_id} new=True {first_values(status)}\n",
    )
    assert said in first.stderr.splitlines()[-1]
    assert second.returncode == 0, second.stderr
    segmented, submitted = second.stdout.splitlines()
    assert drill.n_tiles // 4 <= n_kept <= counts(segmented)["skipped"] < drill.n_tiles
    assert submitted == f"submitted job={job_id}-2 new=True status=succeeded exit=0"
    assert drill.read(archive) == drill.result


def first_values(status):
    return f"status={'stopped' if status == 130 else 'failed'} exit={status}"


def test_the_verbs_own_status_and_reason_come_back(nodes, tessera, submit, tmp_path):
    failed = submit(tessera, "--", "segment", "--archive", tmp_path / "nothing")
    listed = tessera("jobs", "list", "--address", nodes.dashboard, **nodes.environment())
    job_id = re.search(r"job=(\S+)", failed.stdout).group(1)
    log = tessera("jobs", "logs", job_id, "--address", nodes.dashboard, **nodes.environment())
    shown = tessera(
        "jobs", "show", job_id, "--json", "--address", nodes.dashboard, **nodes.environment()
    )

    assert failed.returncode == 2
    reason = f"tessera: archive {tmp_path}/nothing does not exist"
    assert failed.stderr.splitlines()[-1] == reason
    assert re.search(rf"^{job_id} +failed \(2\) ", listed.stdout, re.MULTILINE)
    assert log.stdout.splitlines()[0] == reason
    assert json.loads(shown.stdout)["exit"] == 2
    assert nodes.token_path.read_text() not in log.stdout + shown.stdout


def test_nothing_wrong_is_sent(nodes, tessera, submit, tmp_path):
    def n_jobs() -> int:
        return len(nodes.ask("/api/jobs/"))

    before = n_jobs()
    refused = [
        submit(tessera, "--", "sgment"),
        submit(tessera, "--", "segment", "--archive", tmp_path, "--core-px", 3),
        submit(tessera, "--no-wait", "--follow", "--", "status", "--archive", tmp_path),
    ]

    assert [command.returncode for command in refused] == [2, 2, 2]
    assert all(len(command.stderr.splitlines()) == 1 for command in refused)
    assert n_jobs() == before
