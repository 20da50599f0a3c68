"""Where a fit keeps its checkpoints and its result, and how others read them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import ModelError
from pipelines.segmenter.plan import FitPlan
from pipelines.segmenter.result import FitResult
from pipelines.training.checkpoint import CONFIG_FILE

MODEL_FOLDER = "model"
_RESULT_FILE = "result.json"
_DATA_FILE = "data.digest"

History = list[dict[str, float]]


def checkpoint_folder(folder: Path, plan: FitPlan) -> Path:
    """Return where the checkpoints of a plan lie; another plan's are not gone on from."""
    return folder / "checkpoints" / plan.digest


def forget_other_data(checkpoints: Path, digest: str) -> None:
    """Remove checkpoints of a plan whose files have other content by now."""
    note = checkpoints / _DATA_FILE
    if note.exists() and note.read_text() == digest:
        return
    shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True)
    note.write_text(digest)


def read_history(folder: Path, plan: FitPlan) -> History:
    """Return what is known of the epochs that are behind, while a fit runs or after it."""
    for newest in sorted(checkpoint_folder(folder, plan).glob("epoch-*"), reverse=True):
        try:
            found: History = json.loads((newest / CONFIG_FILE).read_text())["history"]
        except (OSError, ValueError):
            # The next checkpoint is just taking its place.
            continue
        return found
    return []


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write what a fit hands back, whole or not at all."""
    partial = folder / f".{_RESULT_FILE}.partial"
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / _RESULT_FILE)


def read_result(folder: Path) -> FitResult:
    """Read what a finished fit wrote."""
    try:
        found = json.loads((folder / _RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"fit {folder} has no result: {error}") from error
    return FitResult(folder / MODEL_FOLDER, **found)
