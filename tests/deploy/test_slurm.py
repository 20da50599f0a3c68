"""The Slurm script, run with stand-ins for Slurm and Ray."""

import json
import os
import subprocess
from types import SimpleNamespace

import pytest
from ray.scripts.scripts import start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args, symmetric_run

#: Answers for the first node, and runs what it is given once, as on one node.
FAKE_SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
if [ "$1" = hostname ]; then echo "fe80::1 127.0.0.1 192.0.2.7 192.0.2.8"; else exec "$@"; fi
"""
FAKE_SCONTROL = """#!/bin/sh
printf "node1\\nnode2\\n"
"""
#: Notes its arguments, its environment and who may read the token.
FAKE_RAY = """#!/usr/bin/env python3
import json, os, sys
token = os.environ["RAY_AUTH_TOKEN_PATH"]
note = {"arguments": sys.argv[1:], "environment": dict(os.environ)}
note |= {"mode": oct(os.stat(token).st_mode & 0o777), "token": open(token).read().strip()}
open(os.environ["NOTES"], "w").write(json.dumps(note))
sys.exit(int(os.environ.get("RAY_ENDS", "0")))
"""


@pytest.fixture
def script(deploy):
    return deploy / "slurm" / "tessera.sbatch"


@pytest.fixture
def sbatch(script, tmp_path):
    """Run the script as Slurm would; return how it ended and what Ray was asked for."""
    tools = tmp_path / "venv" / "bin"
    tools.mkdir(parents=True)
    programs = {"srun": FAKE_SRUN, "scontrol": FAKE_SCONTROL, "ray": FAKE_RAY, "tessera": ""}
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    notes = tmp_path / "notes"

    def run(*arguments, **more):
        environment = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "NOTES": str(notes),
            "TESSERA_VENV": str(tools.parent),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "16",
            **more,
        }
        done = subprocess.run(
            ["bash", script, *arguments], env=environment, capture_output=True, text=True
        )
        asked = json.loads(notes.read_text()) if notes.exists() else None
        return SimpleNamespace(done=done, asked=asked, home=home)

    return run


def test_bash_can_read_it(script):
    subprocess.run(["bash", "-n", script], check=True)


def test_slurm_gives_every_node_one_task_and_all_of_its_memory(script):
    lines = script.read_text(encoding="utf-8").splitlines()
    given = [line.split()[1] for line in lines if line.startswith("#SBATCH")]

    assert "--ntasks-per-node=1" in given
    # Ray is stopped on every node at the end, also another job's.
    assert "--exclusive" in given


def test_ray_gets_the_first_nodes_address_and_flags_that_it_has(sbatch, commands):
    run = sbatch("run", "/data/my tiles", "--archive", "/data/a")

    assert run.done.returncode == 0, run.done.stderr
    name, *arguments = run.asked["arguments"]
    assert name == "symmetric-run"
    options, entry = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    assert options[options.index("--address") + 1] == "192.0.2.7:6379"
    assert options[options.index("--min-nodes") + 1] == "2"
    # As Ray itself takes them apart: its own, and those of `ray start`.
    for_start = curate_and_validate_ray_start_args(options)
    commands.check_flags(start, for_start)
    own = {flag for parameter in symmetric_run.params for flag in parameter.opts}
    assert {"--address", "--min-nodes"} <= own
    assert entry[:2] == ["env", "RAY_ADDRESS=192.0.2.7:6379"]
    assert entry[2:] == ["tessera", "run", "/data/my tiles", "--archive", "/data/a"]


def test_the_dashboard_is_on_the_loopback_interface(sbatch):
    run = sbatch("status", "--archive", "/a")

    assert "--dashboard-host=127.0.0.1" in run.asked["arguments"]


def test_the_token_is_this_jobs_own_and_gone_after_it(sbatch):
    first, second = sbatch("status").asked, sbatch("status")

    assert first["environment"]["RAY_AUTH_MODE"] == "token"
    assert first["mode"] == "0o600"
    assert len(first["token"]) >= 32
    assert first["token"] != second.asked["token"]
    assert list((second.home / ".tessera").iterdir()) == []


def test_the_verbs_status_is_the_jobs(sbatch):
    run = sbatch("segment", RAY_ENDS="3")

    assert run.done.returncode == 3
    assert list((run.home / ".tessera").iterdir()) == []


def test_without_a_verb_nothing_is_started(sbatch):
    run = sbatch()

    assert (run.done.returncode, run.asked) == (2, None)
    assert "which verb?" in run.done.stderr


def test_without_tessera_nothing_is_started(sbatch, tmp_path):
    (tmp_path / "venv" / "bin" / "tessera").unlink()

    run = sbatch("status", PATH=f"{tmp_path}/venv/bin:/usr/bin:/bin")

    assert (run.done.returncode, run.asked) == (2, None)
    assert "no tessera in TESSERA_VENV" in run.done.stderr


def test_accelerators_are_those_that_slurm_gave(sbatch):
    assert "--num-gpus=0" in sbatch("status").asked["arguments"]
    assert "--num-gpus=4" in sbatch("status", SLURM_GPUS_ON_NODE="4").asked["arguments"]


def test_variables_are_ones_that_ray_reads(sbatch, known_to):
    given = sbatch("status").asked["environment"]

    rays = {name for name in given if name.startswith("RAY_")}
    assert len(rays) >= 5
    assert {name for name in rays if not known_to("ray", name)} == set()
