"""What of Tessera goes to the cluster with a job: its code, and nothing that lies beside it."""

import shutil
from pathlib import Path

PACKAGES = ("cluster", "pipelines", "services")
#: Code, and the data that the packages install with it; everything else stays here.
SUFFIXES = frozenset({".py", ".css", ".html", ".toml"})


def own_root() -> Path:
    """Return the folder that holds the packages, a checkout's or an installation's."""
    return Path(__file__).resolve().parents[2]


def find_code(root: Path) -> list[Path]:
    """List the files of the packages below ``root`` that a job needs, relative to it.

    Only by what is allowed: archives, notes, credentials and links that lie among the code are
    left out, whatever they are called.
    """
    found = [Path("pyproject.toml")] if (root / "pyproject.toml").is_file() else []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            inner = path.relative_to(root)
            hidden = any(part.startswith(".") for part in inner.parts)
            if path.suffix in SUFFIXES and path.is_file() and not (hidden or path.is_symlink()):
                found.append(inner)
    return found


def pack(root: Path, folder: Path) -> None:
    """Copy the code below ``root`` into an empty folder."""
    for inner in find_code(root):
        target = folder / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / inner, target)
