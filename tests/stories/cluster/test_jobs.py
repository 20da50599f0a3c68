"""Verbs as jobs on a cluster whose nodes die: what comes out is what one machine makes."""

import json
import os
import re
import shutil
import signal
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.archive import Archive, create_archive
from pipelines.ledger import read_entries
from pipelines.mosaic.ome_zarr import write_mosaic
from pipelines.quarantine import list_quarantine
from pipelines.tables import read_rows

pytestmark = pytest.mark.cluster

N_TILES = 64
#: Otsu's method, slow as long as a file says so.
METHOD = """
import time
from pathlib import Path
from pipelines.segmentation.methods.otsu import Otsu

class Slow(Otsu):
    def heights(self, image, window, survey, settings):
        if Path(__file__).with_name("slow").exists():
            time.sleep(0.5)
        return super().heights(image, window, survey, settings)

SLOW = Slow()
"""


@dataclass(frozen=True)
class Drill:
    """A mosaic of discs, a method that can be slow, and what both give on one machine."""

    folder: Path
    instances: dict[str, str]
    particles: list[dict[str, object]]

    def command(self, archive: Archive) -> list[str]:
        method = f"{self.folder / 'method.py'}:SLOW"
        return f"segment --archive {archive.root} --method {method} --core-px 128".split()

    def be_slow(self) -> None:
        (self.folder / "slow").touch()

    def be_quick(self) -> None:
        (self.folder / "slow").unlink()


@pytest.fixture(scope="module")
def drill(tessera, digests, tmp_path_factory) -> Drill:
    folder = tmp_path_factory.mktemp("drill")
    (folder / "method.py").write_text(METHOD)
    archive = create_archive(folder / "undisturbed")
    write_mosaic(archive.mosaic("discs"), draw_discs(), pixel_size_nm=1.5)
    shutil.copytree(archive.root, folder / "fresh")

    done = tessera(*Drill(folder, {}, []).command(archive), "--workers", 1)

    assert done.returncode == 0, done.stderr
    return Drill(folder, *read_result(archive, digests))


@pytest.fixture
def archive(drill, tmp_path) -> Archive:
    """An archive with the mosaic, not segmented yet."""
    shutil.copytree(drill.folder / "fresh", tmp_path / "archive")
    return Archive(tmp_path / "archive")


@pytest.fixture
def submit(nodes):
    """Make a command line that submits another, and the environment that it needs."""

    def submit(run, *words: object, **environment: object):
        more = nodes.environment() | environment
        return run("submit", "--address", nodes.dashboard, *words, **more)

    return submit


def draw_discs():
    rng = np.random.default_rng(6)
    image = rng.normal(800, 25, (1024, 1024))
    for y, x, radius in zip(
        *rng.integers(6, 1018, (2, 300)), rng.integers(6, 15, 300), strict=True
    ):
        cv2.circle(image, (int(x), int(y)), int(radius), 1600.0, thickness=-1)
    return np.clip(image, 0, 4000).astype("uint16")


def read_result(archive, digests):
    particles = read_rows(archive, "particles").sort_by("particle_id").to_pylist()
    return digests(archive.mosaic("discs") / "labels" / "instances"), particles


def n_done(archive) -> int:
    return len(read_entries(archive, "segment", status="done"))


def counts(line: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}


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


def rows(root, table) -> list[str]:
    """Read a table without regard to the order of rows, and to when they were written."""
    found = read_rows(Archive(root), table)
    kept = [name for name in found.column_names if name not in ("at", "run_id", "updated_at")]
    return sorted(json.dumps(row, default=str) for row in found.select(kept).to_pylist())


def instances(root, digests):
    (name,) = Archive(root).mosaic_names()
    return digests(Archive(root).mosaic(name) / "labels" / "instances")


def test_a_node_that_dies_in_the_middle_costs_nothing_but_time(
    nodes, drill, archive, begin, submit, digests
):
    drill.be_slow()
    job = submit(begin, "--follow", "--", *drill.command(archive))
    job.wait_until(lambda: n_done(archive) >= N_TILES // 4)
    nodes.workers[0].kill()
    n_before = n_done(archive)
    drill.be_quick()

    assert job.wait() == 0, job.stderr
    segmented, submitted = job.stdout.splitlines()
    assert n_before < N_TILES
    assert counts(segmented)["tiles"] == N_TILES
    assert submitted.endswith("status=succeeded exit=0")
    assert "workers were lost" in job.stderr
    assert read_result(archive, digests) == (drill.instances, drill.particles)
    assert list_quarantine(archive) == []


def stop(job_id, nodes, tessera):
    words = ("jobs", "stop", job_id, "--address", nodes.dashboard)
    stopped = tessera(*words, **nodes.environment())
    assert (stopped.returncode, stopped.stdout) == (
        0,
        f"stopped job={job_id} was_over=False status=stopped\n",
    ), stopped.stderr


def kill_driver(job_id, nodes, tessera):
    (driver,) = [
        process
        for process in nodes.nodes[0].family()
        if "services.submission.driver" in process.cmdline()
    ]
    driver.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (stop, 130, "was stopped; the same command goes on from there"),
        (kill_driver, 1, "was killed by signal 9"),
    ],
)
def test_a_job_that_is_stopped_or_dies_goes_on_when_it_is_submitted_again(
    nodes, drill, archive, tessera, begin, submit, digests, end, status, said
):
    words = ("--", *drill.command(archive))
    drill.be_slow()
    first = submit(begin, *words)
    first.wait_until(lambda: n_done(archive) >= N_TILES // 4)
    job_id = re.search(r"job (\S+) at", first.stderr).group(1)
    end(job_id, nodes, tessera)
    ended = first.wait()
    n_kept = n_done(archive)
    drill.be_quick()

    second = submit(tessera, *words)

    assert (ended, first.stdout) == (
        status,
        f"submitted job={job_id} new=True {first_values(status)}\n",
    )
    assert said in first.stderr.splitlines()[-1]
    assert second.returncode == 0, second.stderr
    segmented, submitted = second.stdout.splitlines()
    assert N_TILES // 4 <= n_kept <= counts(segmented)["skipped"] < N_TILES
    assert submitted == f"submitted job={job_id}-2 new=True status=succeeded exit=0"
    assert read_result(archive, digests) == (drill.instances, drill.particles)


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


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "asks for a token: set RAY_AUTH_TOKEN_PATH"), ("x" * 64, "refuses this token")],
)
def test_without_the_right_token_no_job_is_taken_nor_shown(nodes, tessera, token, said, tmp_path):
    # A home of its own: in that of the tests lies a token of the Rays that they start.
    run = partial(tessera, RAY_AUTH_TOKEN=token, HOME=tmp_path)
    where = ("--address", nodes.dashboard)
    for words in (
        ("submit", *where, "--", "status", "--archive", tmp_path),
        ("jobs", "list", *where),
        ("jobs", "stop", "any", *where),
    ):
        refused = run(*words)

        assert (refused.returncode, refused.stdout) == (2, "")
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"tessera: the cluster at {nodes.dashboard} {said}")


@pytest.mark.parametrize("token", [None, "x" * 64])
@pytest.mark.parametrize("path", ["/api/jobs/", "/nodes?view=summary", "/api/packages/gcs/a.zip"])
def test_the_dashboard_serves_nobody_without_the_right_token(nodes, token, path):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(nodes.dashboard + path, headers=headers)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)

    refused.value.close()
    assert refused.value.code == (401 if token is None else 403)


@pytest.mark.parametrize("token", ["", "x" * 64])
@pytest.mark.parametrize("door", ["client", "head"])
def test_no_driver_is_served_without_the_right_token(nodes, drill, archive, tessera, token, door):
    refused = tessera(
        *drill.command(archive), "--address", getattr(nodes, door), RAY_AUTH_TOKEN=token,
        RAY_AUTH_MODE="token", HOME=archive.root.parent,
    )  # fmt: skip

    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert "token" in line
    assert n_done(archive) == 0
