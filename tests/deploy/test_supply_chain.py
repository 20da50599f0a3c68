"""The audit of packages and the bill of materials."""

import json
import os
import subprocess
import sys

import pytest

CLEAN = {"name": "zarr", "version": "3.1.6", "vulns": []}
SKIPPED = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited"}
VULNERABLE = {
    "name": "ray",
    "version": "2.50.0",
    "vulns": [{"id": "CVE-2023-48022", "fix_versions": ["2.52.0"], "aliases": []}],
}


@pytest.fixture
def audit(deploy, tmp_path):
    """Judge a report of pip-audit's; without one, as if it had written none."""

    def run(packages):
        path = tmp_path / "audit.json"
        if packages is not None:
            path.write_text(json.dumps({"dependencies": packages, "fixes": []}))
        done = subprocess.run(
            [sys.executable, deploy / "audit.py", path], capture_output=True, text=True
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([CLEAN], 0, "1 of 1 packages looked up, 0 vulnerabilities"),
        ([CLEAN, VULNERABLE], 1, "ray 2.50.0: CVE-2023-48022, mended in 2.52.0"),
        ([CLEAN, SKIPPED], 3, "not looked up: numpy"),
        # pip-audit itself ends with 0 here, and says that it found nothing.
        ([SKIPPED, SKIPPED], 3, "nothing was audited: no database of vulnerabilities answered"),
        (None, 3, "nothing was audited: no database of vulnerabilities answered"),
        ([SKIPPED, VULNERABLE], 1, "1 of 2 packages looked up, 1 vulnerabilities"),
    ],
)
def test_an_audit_says_what_it_found_and_what_it_could_not_look_up(audit, packages, status, said):
    ended, shown = audit(packages)

    assert ended == status
    assert said in shown


#: Stands for the environment's Python: writes a report as pip-audit would, or runs a script.
FAKE_PYTHON = """#!/bin/sh
if [ "$2" = pip_audit ]; then
    for word in "$@"; do report=$word; done
    cp "$REPORT" "$report" 2> /dev/null
    exit 1
fi
exec {python} "$@"
"""


@pytest.fixture
def make(root, tmp_path):
    """Run make in a copy of what its targets need, with an environment that is made already."""
    folder = tmp_path / "project"
    (folder / "deploy").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "deploy/audit.py"):
        (folder / name).write_bytes((root / name).read_bytes())
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").write_text(FAKE_PYTHON.format(python=sys.executable))
    (tools / "python").chmod(0o755)
    (folder / ".venv" / "installed").touch()

    def run(*arguments, report=None):
        path = tmp_path / "report.json"
        if report is not None:
            path.write_text(json.dumps({"dependencies": report}))
        return subprocess.run(
            ["make", *arguments],
            cwd=folder, env={**os.environ, "REPORT": str(path)}, capture_output=True, text=True,
        )  # fmt: skip

    return run


def test_make_audit_fails_where_nothing_was_audited(make):
    done = make("audit")

    assert done.returncode != 0
    assert "nothing was audited" in done.stdout


def test_make_audit_fails_on_a_vulnerability_and_succeeds_without(make):
    assert make("audit", report=[VULNERABLE]).returncode != 0
    assert make("audit", report=[CLEAN]).returncode == 0


def test_make_sbom_describes_the_environment_that_is_installed(make):
    said = make("--dry-run", "sbom").stdout

    (line,) = [line for line in said.splitlines() if "cyclonedx-py environment" in line]
    words = line.split()
    assert words[0] == "build/sbom-tool/bin/cyclonedx-py"
    assert words[words.index("--output-file") + 1] == "build/sbom.json"
    assert words[-1] == ".venv/bin/python"


def test_what_writes_the_bill_is_pinned_and_not_among_what_it_describes(root):
    pinned = (root / "constraints.txt").read_text()
    wanted = (root / "pyproject.toml").read_text()

    assert "\ncyclonedx-bom==" in pinned
    assert "cyclonedx-bom" not in wanted
