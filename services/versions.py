"""Which code made a result."""

import os
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

_LIBRARIES = (
    "cleanlab",
    "numpy",
    "opencv-python-headless",
    "ray",
    "scikit-learn",
    "scipy",
    "torch",
    "zarr",
)
#: Code that was sent to a cluster knows neither its installation nor its checkout.
CODE_VERSION_VARIABLE = "TESSERA_CODE_VERSION"


@cache
def code_version() -> str:
    """Return the installed version, with the commit where this runs from a checkout."""
    if sent := os.environ.get(CODE_VERSION_VARIABLE):
        return sent
    version = metadata.version("tessera-mosaic")
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return version
    try:
        run = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{run.stdout.strip()}"


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {name: metadata.version(name) for name in _LIBRARIES}
