"""From a job that was accepted to its first work: a verb, against the least that Ray can do."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cluster.job_server import JobServer
from pipelines.archive import Archive, create_archive
from pipelines.mosaic.ome_zarr import write_mosaic
from tests.benchmarks.record import Measurement
from tests.nodes import Nodes, start_nodes

N_REPEATS = 5
GOAL = 1.5
#: Takes note of when a tile is begun.
METHOD = """
from pathlib import Path
from pipelines.segmentation.methods.otsu import Otsu

class Noted(Otsu):
    def heights(self, image, window, survey, settings):
        Path(__file__).with_name("begun").touch()
        return super().heights(image, window, survey, settings)

NOTED = Noted()
"""
#: The same of a task without anything.
SCRIPT = """
import pathlib, sys, ray

@ray.remote
def note(path):
    pathlib.Path(path).touch()

ray.init()
ray.get(note.remote(sys.argv[1]))
"""


def run() -> list[Measurement]:
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as name, start_nodes() as nodes:
        os.environ |= nodes.environment()
        try:
            server = JobServer(nodes.dashboard)
            pairs = [
                (seconds_of_verb(Path(name), nodes, server), seconds_of_ray(Path(name), server))
                for _ in range(N_REPEATS)
            ]
        finally:
            os.environ.clear()
            os.environ.update(before)
    ours, rays = (statistics.median(times) for times in zip(*pairs, strict=True))
    return [
        Measurement(
            "job accepted to first tile begun, against Ray's own to a first task",
            f"{ours:.1f} s",
            f"{rays:.1f} s",
            statistics.median(ours / rays for ours, rays in pairs),
            "at most",
            GOAL,
        )
    ]


def seconds_of_verb(folder: Path, nodes: Nodes, server: JobServer) -> float:
    """Submit a segmentation of one tile."""
    archive = Archive(Path(tempfile.mkdtemp(dir=folder)) / "a")
    fresh = folder / "fresh"
    if not fresh.exists():
        pixels = np.random.default_rng(0).normal(800, 25, (256, 256)).astype("uint16")
        write_mosaic(create_archive(fresh).mosaic("noise"), pixels, pixel_size_nm=1.0)
        (folder / "method.py").write_text(METHOD)
    shutil.copytree(fresh, archive.root)
    begun = folder / "begun"
    begun.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "services", "submit", "--address", nodes.dashboard, "--"),
        *("segment", "--archive", archive.root, "--method", f"{folder / 'method.py'}:NOTED"),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    job_id = re.search(r"job=(\S+)", said).group(1)
    return since_accepted(begun, job_id, server)


def seconds_of_ray(folder: Path, server: JobServer) -> float:
    """Submit a script with one task."""
    code = Path(tempfile.mkdtemp(dir=folder))
    (code / "script.py").write_text(SCRIPT)
    begun, job_id = code / "begun", f"script-{code.name}"
    server.submit(
        job_id, f"python script.py {begun}", working_dir=code, environment={}, metadata={}
    )
    assert server.wait(job_id).exit_code == 0
    return since_accepted(begun, job_id, server)


def since_accepted(begun: Path, job_id: str, server: JobServer) -> float:
    return begun.stat().st_mtime - server.find(job_id).began.timestamp()
