"""From a job that was accepted to its first work: a verb, against the least that Ray can do.

Half of what a verb needs more than a bare task is what Ray Data needs for a pool of actors: so it
is measured against that too.
"""

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
#: The same of a batch that an actor of Ray Data's gets.
DATA_SCRIPT = """
import pathlib, sys, pyarrow, ray, ray.data

class Note:
    def __call__(self, batch):
        pathlib.Path(str(batch["path"][0])).touch()
        return batch

ray.init()
rows = ray.data.from_blocks([pyarrow.table({"path": [sys.argv[1]]})])
pool = ray.data.ActorPoolStrategy(size=2)
list(rows.map_batches(Note, compute=pool, num_cpus=1).iter_batches())
"""


def run() -> list[Measurement]:
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as name, start_nodes() as nodes:
        os.environ |= nodes.environment()
        try:
            server = JobServer(nodes.dashboard)
            times = [
                (
                    seconds_of_verb(Path(name), nodes, server),
                    seconds_of_ray(Path(name), server, SCRIPT),
                    seconds_of_ray(Path(name), server, DATA_SCRIPT),
                )
                for _ in range(N_REPEATS)
            ]
        finally:
            os.environ.clear()
            os.environ.update(before)
    return [
        _against("Ray's own to a first task", [(ours, rays) for ours, rays, _ in times]),
        _against("Ray Data's own to a first batch", [(ours, data) for ours, _, data in times]),
    ]


def _against(what: str, pairs: list[tuple[float, float]]) -> Measurement:
    ours, baseline = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Measurement(
        f"job accepted to first tile begun, against {what}",
        f"{ours:.1f} s",
        f"{baseline:.1f} s",
        statistics.median(ours / baseline for ours, baseline in pairs),
        "at most",
        GOAL,
    )


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


def seconds_of_ray(folder: Path, server: JobServer, script: str) -> float:
    """Submit a script that takes note of when its first work is begun."""
    code = Path(tempfile.mkdtemp(dir=folder))
    (code / "script.py").write_text(script)
    begun, job_id = code / "begun", f"script-{code.name}"
    server.submit(
        job_id, f"python script.py {begun}", working_dir=code, environment={}, metadata={}
    )
    assert server.wait(job_id).exit_code == 0
    return since_accepted(begun, job_id, server)


def since_accepted(begun: Path, job_id: str, server: JobServer) -> float:
    return begun.stat().st_mtime - server.find(job_id).began.timestamp()
