import subprocess
import tomllib
from pathlib import Path

from services.submission.parcel import PACKAGES, SUFFIXES, find_code, own_root, pack

ROOT = Path(__file__).resolve().parents[3]


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_only_code_goes_along_whatever_lies_beside_it(tmp_path):
    for inner in ("services/cli.py", "services/report/page.html", "cluster/__init__.py"):
        write(tmp_path / inner)
    write(tmp_path / "pyproject.toml")
    for stray in (
        "services/.env", "services/token", "services/key.pem", "services/.hidden/a.py",
        "services/__pycache__/cli.cpython-311.pyc", "pipelines/archive/mosaics/a.zarr/c/0",
        "notes.py", "tests/test_all.py", ".env", "demo/archive/archive.json", "credentials.toml",
    ):  # fmt: skip
        write(tmp_path / stray)
    (tmp_path / "services" / "link.py").symlink_to(tmp_path / ".env")

    assert {str(path) for path in find_code(tmp_path)} == {
        "pyproject.toml", "services/cli.py", "services/report/page.html", "cluster/__init__.py",
    }  # fmt: skip


def test_all_that_the_packages_install_goes_along():
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = installed["package-data"]["services"]

    assert installed["packages"]["find"]["include"] == [f"{name}*" for name in PACKAGES]
    assert {Path(pattern).suffix for pattern in patterns} | {".py"} == SUFFIXES


def test_what_was_packed_runs_by_itself(tmp_path):
    pack(own_root(), tmp_path)

    # Isolated: neither this checkout nor the user's own packages are on the path.
    shown = subprocess.run(
        [
            *("python", "-P", "-c"),
            "import sys; sys.path.insert(0, sys.argv[1]); import services.cli; "
            "print(services.cli.__file__)",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": str(Path(__import__("sys").executable).parent)},
    )

    assert shown.stdout.strip() == str(tmp_path / "services" / "cli.py")
