import subprocess
from importlib import metadata

import pytest

from services import versions
from services.versions import code_version, library_versions


@pytest.fixture(autouse=True)
def fresh():
    code_version.cache_clear()
    yield
    code_version.cache_clear()


def test_a_checkout_names_its_commit(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "versions.py").write_text("")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "--no-verify", "-m", "x"], check=True)
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "services" / "versions.py"))
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)

    installed, commit = code_version().split("+")

    assert installed == metadata.version("tessera-mosaic")
    assert head.stdout.startswith(commit)
    assert len(commit) >= 7


def test_changes_that_are_not_committed_show(tmp_path, monkeypatch):
    test_a_checkout_names_its_commit(tmp_path, monkeypatch)
    (tmp_path / "services" / "versions.py").write_text("x = 1")
    code_version.cache_clear()

    assert code_version().endswith("-dirty")


def test_outside_a_checkout_the_installed_version_stands(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "services" / "versions.py"))

    assert code_version() == metadata.version("tessera-mosaic")


def test_without_git_the_installed_version_stands(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "services" / "versions.py"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert code_version() == metadata.version("tessera-mosaic")


def test_libraries_have_versions():
    found = library_versions()

    assert found["numpy"] == metadata.version("numpy")
    assert all(found.values())
