"""Segmenters of other packages: whether they and their weights are there, and what they are."""

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

from pipelines.digests import digest_file, digest_json
from pipelines.errors import SettingsError


def check_plug_in(package: str, path: str, *, needs_folder: bool) -> Path:
    """Return where a plug-in's weights lie, or say how to get what is missing.

    Parameters
    ----------
    package : str
        Name of the package, which is also that of the extra and of the method.
    path : str
        The weights' file or folder; nothing if none was given.
    needs_folder : bool
        Whether the weights are a folder.

    Raises
    ------
    SettingsError
        If the package is not installed, or the weights are not there.
    """
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        raise SettingsError(
            f"method {package} needs a package that is not installed: "
            f"pip install 'tessera-mosaic[{package}]'"
        )
    kind = "folder" if needs_folder else "file"
    if not path:
        raise SettingsError(
            f"method {package} needs the {kind} of a model that you have: --model-path "
            f"{kind.upper()} (nothing is downloaded)"
        )
    found = Path(path)
    if not (found.is_dir() if needs_folder else found.is_file()):
        raise SettingsError(f"method {package}: there is no model {kind} {path}")
    return found


def plug_in_identity(package: str, path: str) -> list[str]:
    """Return what tells one answer of a plug-in from another: its version and its weights."""
    root = Path(path)
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    weights = digest_json([[str(file.relative_to(root)), digest_file(file)] for file in files])
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = ""
    return [package, version, weights]
