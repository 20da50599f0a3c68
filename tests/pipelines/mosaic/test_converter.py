import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipelines.errors import StorageFullError
from pipelines.mosaic import converter
from pipelines.mosaic.conversion_job import Conversion
from pipelines.mosaic.converter import convert_all
from pipelines.mosaic.ome_zarr import open_mosaic

#: A child that does what the file's name says.
PRETENDER = """
import json, os, signal, sys, time
for line in sys.stdin:
    job = json.loads(line)
    does = job["name"].split("-")[0]
    if does == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if does == "dies_once" and not os.path.exists(job["source"]):
        open(job["source"], "w").close()
        os.kill(os.getpid(), signal.SIGSEGV)
    if does == "stays":
        time.sleep(60)
    if does == "reads_long":
        print(json.dumps({"event": "opened", "n_pixels": 4}), flush=True)
        time.sleep(60)
    answer = {"event": "done", "info": {"name": job["name"], "pid": os.getpid()}}
    if does == "full":
        answer = {"event": "full", "reason": "No space left on device"}
    if does == "bad":
        answer = {"event": "refused", "reason": "it is bad"}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def started(monkeypatch):
    """Children that pretend; the list holds all that were started."""
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", PRETENDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        processes.append(process)
        return process

    monkeypatch.setattr(converter, "_start", start)
    yield processes
    assert all(process.poll() is not None for process in processes)


def jobs(tmp_path, *names):
    return [
        Conversion(source=str(tmp_path / name), kind="tiff", name=name, folder="f", key="k")
        for name in names
    ]


def outcomes(ended):
    return {one.job.name: one.reason or "done" for one in ended}


def test_one_child_serves_many_files(tmp_path, started):
    ended = list(convert_all(jobs(tmp_path, "a", "b", "c"), n_children=1))

    assert outcomes(ended) == {"a": "done", "b": "done", "c": "done"}
    assert len({one.info["pid"] for one in ended}) == len(started) == 1


def test_no_more_children_than_files(tmp_path, started):
    list(convert_all(jobs(tmp_path, "a", "b"), n_children=8))

    assert len(started) <= 2


def test_a_file_that_kills_its_reader_is_tried_twice_and_the_others_go_on(tmp_path, started):
    ended = list(convert_all(jobs(tmp_path, "a", "dies", "b"), n_children=1))

    assert outcomes(ended) == {"a": "done", "dies": "its reader died (SIGSEGV)", "b": "done"}
    assert {one.job.name: one.attempts for one in ended} == {"a": 1, "dies": 2, "b": 1}
    assert len(started) == 3


def test_a_reader_that_dies_once_is_forgiven(tmp_path, started):
    (ended,) = convert_all(jobs(tmp_path, "dies_once"), n_children=1)

    assert (ended.reason, ended.attempts) == ("", 2)


@pytest.mark.parametrize("name", ["stays", "reads_long"])
def test_a_file_that_takes_for_ever_is_ended(tmp_path, started, monkeypatch, name):
    monkeypatch.setattr(converter, "OPEN_S", 1.0)

    ended = list(convert_all(jobs(tmp_path, name, "bad"), n_children=1))

    assert outcomes(ended) == {name: "reading it took longer than 1 s", "bad": "it is bad"}
    assert [one.may_pass_later for one in ended] == [True, False]


def test_time_grows_with_the_number_of_pixels(tmp_path, started, monkeypatch):
    monkeypatch.setattr(converter, "OPEN_S", 0.5)
    monkeypatch.setattr(converter, "SLOWEST_PX_PER_S", 4 / 1.5)

    (ended,) = convert_all(jobs(tmp_path, "reads_long"), n_children=1)

    assert ended.reason == "reading it took longer than 2 s"


def test_a_full_disk_ends_everything(tmp_path, started):
    with pytest.raises(StorageFullError, match=r"no space left .* holds f \(No space left"):
        list(convert_all(jobs(tmp_path, "full", "stays"), n_children=2))


def test_who_stops_listening_ends_the_children(tmp_path, started):
    ended = convert_all(jobs(tmp_path, "a", "stays"), n_children=2)

    next(ended)
    ended.close()

    assert started


def test_nothing_to_do_starts_nothing(started):
    assert list(convert_all([], n_children=2)) == []
    assert started == []


def test_a_real_child_converts_refuses_and_goes_on(tmp_path):
    """The one test with the real child: good, damaged and hostile files in a row."""
    tifffile.imwrite(tmp_path / "good", np.full((30, 40), 7, "uint8"), photometric="minisblack")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:300])
    (tmp_path / "noise").write_bytes(b"II*\0" + bytes(range(256)))
    (tmp_path / "out").mkdir()
    todo = [
        Conversion(
            source=str(tmp_path / name),
            kind="tiff",
            name=name,
            folder=str(tmp_path / "out"),
            key="k",
            pixel_size_nm=None if name == "unknown" else 1.0,
        )
        for name in ("noise", "cut", "good")
    ]

    ended = {one.job.name: one for one in convert_all(todo, n_children=1)}

    assert (
        open_mosaic(tmp_path / "out" / "good.ome.zarr").info.digest
        == (ended["good"].info["digest"])
    )
    assert "does not lie in the file" in ended["cut"].reason
    assert ended["noise"].reason == "it has no image"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.ome.zarr"]


def test_a_child_ends_with_its_parent_also_in_the_middle_of_a_file(tmp_path):
    # Nobody writes into the pipe, so the child waits for its bytes for ever.
    os.mkfifo(tmp_path / "a")
    (job,) = jobs(tmp_path, "a")
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pipelines.mosaic import converter; child = converter._start();"
            "child.stdin.write(sys.argv[1].encode()); child.stdin.flush();"
            "print(child.pid, flush=True); child.wait()",
            json.dumps({**job.__dict__, "kind": "png"}) + "\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    for _ in range(300):
        if not _is_running(child):
            return
        time.sleep(0.1)
    pytest.fail(f"child {child} outlived its parent")


def _is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_address_space_is_bounded():
    source = (
        "from pipelines.mosaic.converter_child import limit_memory; import numpy;"
        "idle = limit_memory(256 << 20); numpy.ones(100 << 20, 'u1')\n"
        "try: numpy.ones(600 << 20, 'u1'); print('too much')\n"
        "except MemoryError: print('bounded')\n"
        "limit_memory(900 << 20, idle); numpy.ones(600 << 20, 'u1'); print('raised')"
    )

    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["bounded", "raised"]


def test_a_job_travels_as_json(tmp_path):
    (job,) = jobs(tmp_path, "a")

    assert Conversion(**json.loads(json.dumps(job.__dict__))) == job
    assert os.fspath(job.mosaic_path) == "f/a.ome.zarr"
