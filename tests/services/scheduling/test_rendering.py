"""What schedulers are given is run as they would run it, by a command that repeats its flags."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from services.scheduling.cron import render_cron
from services.scheduling.kubernetes import job_name, render_kubernetes
from services.scheduling.schedule import Schedule, this_tessera
from services.scheduling.systemd import SERVICE, TIMER, render_systemd

#: A path with everything that shells, crontabs and units read in ways of their own.
ODD = '/data/it\'s 100% "lab" $HOME; a\\b'
SCHEDULE = Schedule("02:30", "Europe/Berlin", (ODD + "/in",), "cron")


@pytest.fixture
def echo(tmp_path):
    """A command that prints its arguments, one a line."""
    path = tmp_path / "odd $1 tessera"
    path.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sep='\\n')\n")
    path.chmod(0o755)
    return [str(path)]


EXPECTED = ["relabel", "--archive", ODD, "--watch-dir", ODD + "/in", "--run-id"]


def check_arguments(said):
    *arguments, run_id = said.splitlines()
    assert arguments == EXPECTED
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", run_id)


def test_the_command_is_the_one_of_this_installation():
    (command,) = this_tessera()

    assert Path(command).is_absolute()
    assert Path(command).is_file()


def test_cron_gets_the_zone_the_time_and_the_whole_command(echo, tmp_path):
    log = tmp_path / "night 100%.log"

    text = render_cron(SCHEDULE, tessera=echo, archive=Path(ODD), log=log)

    *_, zone, line = text.splitlines()
    assert zone == "CRON_TZ=Europe/Berlin"
    (command,) = re.fullmatch(r"30 2 \* \* \* (.*)", line).groups()
    # As cron does: what follows a bare % would be input.
    assert not re.search(r"(?<!\\)%", command)
    subprocess.run(["sh", "-c", command.replace(r"\%", "%")], check=True, cwd=tmp_path)
    check_arguments(log.read_text())


def as_systemd_reads(word):
    """Undo systemd's quoting of one word in double quotes."""
    inner = re.fullmatch(r'"(.*)"', word)[1]
    inner = re.sub(r'\\([\\"])', r"\1", inner)
    assert not re.search(r"(?<!%)%(?!%)", inner.replace("%%", ""))
    return inner.replace("%%", "%").replace("$$", "$")


def test_systemd_gets_a_timer_in_the_zone_that_makes_up_for_missed_slots(echo):
    units = render_systemd(SCHEDULE, tessera=echo, archive=Path(ODD), user="ada")

    assert "OnCalendar=*-*-* 02:30:00 Europe/Berlin\n" in units[TIMER]
    assert "Persistent=true\n" in units[TIMER]
    assert "User=ada\n" in units[SERVICE]
    (line,) = re.findall(r"^ExecStart=/bin/sh -c (.*)$", units[SERVICE], re.MULTILINE)
    said = subprocess.run(
        ["/bin/sh", "-c", as_systemd_reads(line)], check=True, capture_output=True, text=True
    )
    check_arguments(said.stdout)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
def test_systemd_finds_nothing_wrong_with_its_units(echo, tmp_path):
    units = render_systemd(SCHEDULE, tessera=echo, archive=Path(ODD), user="root")
    for name, text in units.items():
        (tmp_path / name).write_text(text)

    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / SERVICE, tmp_path / TIMER],
        capture_output=True,
        text=True,
    )

    # Of other units of the machine it may say what it likes.
    assert "tessera" not in found.stderr
    assert found.returncode == 0, found.stderr


def test_kubernetes_gets_a_cron_job_that_never_runs_twice_at_once(echo):
    text = render_kubernetes(SCHEDULE, archive=Path(ODD), image="lab/tessera:1", claim="lab")

    job = yaml.safe_load(text)
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert (spec["schedule"], spec["timeZone"]) == ("30 2 * * *", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert spec["jobTemplate"]["spec"]["backoffLimit"] >= 1
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["image"] == "lab/tessera:1"
    *shell, script = container["command"]
    assert shell == ["/bin/sh", "-c"]
    # As Kubernetes does with $$( before a shell sees it; the container's command is ours here.
    script = script.replace("$$(", "$(").replace("exec tessera", f"exec '{echo[0]}'")
    check_arguments(subprocess.run([*shell, script], capture_output=True, text=True).stdout)


def test_every_folder_is_mounted_from_its_claim():
    job = yaml.safe_load(render_kubernetes(SCHEDULE, archive=Path("/a"), image="i", claim="lab"))

    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounts = [
        (mount["mountPath"], claims[mount["name"]], mount.get("readOnly", False))
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] in claims
    ]
    assert mounts == [("/a", "lab", False), (ODD + "/in", "lab-watch-1", True)]


@pytest.mark.parametrize("name", ["Lab", "...", "x" * 200, "Ä"])
def test_the_jobs_name_is_one_that_kubernetes_takes(name):
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", job_name(name))
