from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from services import machine
from services.machine import MISSING, OK, OPTIONAL, WARNING


def test_a_library_that_is_not_installed_is_missing(monkeypatch):
    needs = [Requirement("numpy"), Requirement("no-such-library>=1")]
    monkeypatch.setattr(machine, "requirements", lambda extra: needs)

    check = machine.check_libraries()

    assert check.status == MISSING
    assert check.found == "no-such-library is not installed"
    assert check.remedy == "pip install --upgrade tessera-mosaic"


def test_a_library_that_is_too_old_is_named_with_both_versions():
    version = metadata.version("numpy")

    assert machine.problem_of(Requirement("numpy>=900")) == f"numpy {version} is not >=900"
    assert machine.problem_of(Requirement("numpy>=1")) is None


def test_an_extra_that_is_not_installed_says_which_extra_brings_it(monkeypatch):
    needs = {None: [], "fast": [Requirement("no-such-zarrs")]}
    monkeypatch.setattr(machine, "requirements", lambda extra: needs.get(extra, []))

    (check,) = machine.check_extras()

    assert check.status == OPTIONAL
    assert "pip install 'tessera-mosaic[fast]'" in check.remedy


def test_the_extras_of_developers_are_not_asked_for():
    assert {check.name for check in machine.check_extras()}.isdisjoint({"pytest", "ruff", "mypy"})
    assert "pytest" not in {need.name for need in machine.requirements(None)}


@pytest.mark.parametrize(
    ("gpus", "cuda", "status", "word"),
    [
        (None, "13.2", OPTIONAL, "no NVIDIA driver"),
        ([], "13.2", WARNING, "no GPU"),
        (["H100 (80 GiB)"], None, WARNING, "without CUDA"),
        (["H100 (80 GiB)"], "13.2", OK, "CUDA 13.2"),
    ],
)
def test_a_gpu_needs_a_driver_a_device_and_a_torch_built_for_it(
    monkeypatch, gpus, cuda, status, word
):
    monkeypatch.setattr(machine, "find_gpus", lambda: gpus)
    monkeypatch.setattr(machine, "torch_cuda", lambda: cuda)

    check = machine.check_gpu()

    assert check.status == status
    assert word in check.found


def test_little_memory_or_disk_is_a_warning(monkeypatch):
    monkeypatch.setattr(machine, "MEMORY_BYTES", 1 << 60)
    monkeypatch.setattr(machine, "DISK_BYTES", 1 << 60)

    assert machine.check_memory().status == WARNING
    assert machine.check_disk("disk", Path("/"), "more").remedy.endswith("more")


def test_small_shared_memory_is_a_warning(tmp_path, monkeypatch):
    assert machine.check_shared_memory(tmp_path / "none").status == OK

    monkeypatch.setattr(machine, "SHARED_MEMORY_BYTES", 1 << 60)

    assert "--shm-size" in machine.check_shared_memory(tmp_path).remedy


def test_the_disk_of_an_archive_that_is_not_there_yet_is_that_of_the_folder_above(tmp_path):
    assert machine.nearest_folder(tmp_path / "no" / "such") == tmp_path
