"""Weights and their description on disk: written together or not at all, read without pickle."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.digests import digest_file
from pipelines.errors import ModelError

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "config.json"
_TRAINING_FILE = "training.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Training after some whole epochs.

    Attributes
    ----------
    n_epochs_done : int
        Epochs that are behind.
    weights : mapping
        Tensors of all networks.
    best_weights : mapping
        Those of the epoch with the lowest loss on the select set; empty where nobody asked.
    optimiser : mapping
        The optimiser's state.
    sample_keys : (N,) ndarray of int
        Whose entries ``sample_state`` holds.
    sample_state : mapping
        What the method keeps per sample.
    common_state : mapping
        What else the method keeps.
    history : list of mapping
        One entry per epoch.
    """

    n_epochs_done: int
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]
    sample_keys: NDArray[np.int64]
    sample_state: Mapping[str, Tensor]
    common_state: Mapping[str, Tensor]
    history: list[dict[str, float]]

    def sample_state_of(self, keys: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the per-sample state in the order of ``keys``.

        Raises
        ------
        ModelError
            If a sample was not there when this was written.
        """
        order = np.argsort(self.sample_keys)
        places = np.searchsorted(self.sample_keys, keys, sorter=order)
        found = order[np.minimum(places, len(order) - 1)]
        if not np.array_equal(self.sample_keys[found], keys):
            raise ModelError("the checkpoint is of other samples")
        return {name: values[torch.from_numpy(found)] for name, values in self.sample_state.items()}


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint under ``folder``; older ones go once it is there."""

    def fill(partial: Path) -> None:
        save_file(_for_disk(checkpoint.weights), partial / WEIGHTS_FILE)
        save_file(_for_disk(checkpoint.best_weights), partial / f"best-{WEIGHTS_FILE}")
        torch.save(
            {
                "optimiser": checkpoint.optimiser,
                "sample_keys": torch.from_numpy(checkpoint.sample_keys),
                "sample_state": dict(checkpoint.sample_state),
                "common_state": dict(checkpoint.common_state),
            },
            partial / _TRAINING_FILE,
        )
        (partial / CONFIG_FILE).write_text(json.dumps({"history": checkpoint.history}))

    name = f"epoch-{checkpoint.n_epochs_done:05d}"
    _write_folder(folder / name, fill)
    for other in folder.glob("epoch-*"):
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint under ``folder``, or None where there is none."""
    written = sorted(folder.glob("epoch-*"))
    if not written:
        return None
    newest = written[-1]
    history = json.loads((newest / CONFIG_FILE).read_text())["history"]
    training = torch.load(newest / _TRAINING_FILE, map_location="cpu", weights_only=True)
    return Checkpoint(
        n_epochs_done=len(history),
        weights=load_file(newest / WEIGHTS_FILE),
        best_weights=load_file(newest / f"best-{WEIGHTS_FILE}"),
        optimiser=training["optimiser"],
        sample_keys=training["sample_keys"].numpy(),
        sample_state=training["sample_state"],
        common_state=training["common_state"],
        history=history,
    )


def n_epochs_done(folder: Path) -> int:
    """Return how many epochs the newest checkpoint under ``folder`` has behind it."""
    return max(
        (int(path.name.removeprefix("epoch-")) for path in folder.glob("epoch-*")), default=0
    )


def write_model(folder: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a model: ``weights.safetensors``, and ``config.json`` with the weights' digest.

    A model that is there already is replaced.
    """

    def fill(partial: Path) -> None:
        save_file(_for_disk(weights), partial / WEIGHTS_FILE)
        whole = {**config, "weights_digest": digest_file(partial / WEIGHTS_FILE)}
        (partial / CONFIG_FILE).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")

    _write_folder(folder, fill)


def read_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a model's weights and description, and check that they belong together.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the weights are not those of the description.
    """
    config = read_config(folder)
    try:
        if digest_file(folder / WEIGHTS_FILE) != config["weights_digest"]:
            raise ModelError(f"model {folder}: {WEIGHTS_FILE} is not what {CONFIG_FILE} describes")
        return load_file(folder / WEIGHTS_FILE), config
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"model {folder} cannot be read: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model's description.

    Raises
    ------
    ModelError
        If it is missing or damaged.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {folder} cannot be read: {error}") from error
    return config


def _write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside ``folder`` and rename it there, so that it is whole or not there."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        fill(partial)
        for path in partial.iterdir():
            # What a power cut leaves must not look whole.
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _for_disk(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to plain memory: safetensors takes neither views nor other memory formats."""
    return {name: values.detach().cpu().contiguous().clone() for name, values in weights.items()}
