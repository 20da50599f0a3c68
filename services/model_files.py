"""The files of a registered model, wherever its store keeps them."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipelines.archive import Archive
from pipelines.errors import ModelError
from services.tracking import why_refused


def fetch_files(archive: Archive, found: Any, tracking_uri: str | None) -> Path:
    """Return the folder of a model's files, downloaded if they are not on this machine.

    Parameters
    ----------
    archive : Archive
        The archive, whose scratch folder takes a server's files.
    found : mlflow.entities.model_registry.ModelVersion
        MLflow's record of the model.
    tracking_uri : str, optional
        The MLflow server that has them.

    Raises
    ------
    ModelError
        If they are not where they should be.
    """
    source = found.source
    if urlsplit(source).scheme in ("", "file"):
        folder = Path(unquote(urlsplit(source).path))
        if folder.is_dir():
            return folder
        # The archive was moved, and its store remembers where it was.
        _, _, inside = str(folder).partition("/mlartifacts/")
        moved = archive.local / "mlartifacts" / inside
        if not inside or not moved.is_dir():
            raise ModelError(f"model files are not at {folder}")
        return moved
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    target = archive.scratch / "models" / _folder_name(found)
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        place = download_artifacts(
            artifact_uri=source, dst_path=str(partial), tracking_uri=tracking_uri
        )
        with suppress(FileExistsError, NotADirectoryError):
            Path(place).rename(target)
    except MlflowException as error:
        raise ModelError(f"model files {source}: the server {why_refused(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _folder_name(found: Any) -> str:
    """Name a model's files by weights and run, so that two models can be at hand at once."""
    name = f"{found.tags.get('weights_digest')}-{found.run_id}"
    # Both are what the server says: it shall not choose where files are written.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", name):
        raise ModelError(f"model {found.name}: no digest and run of a model of ours: {name!r}")
    return name
