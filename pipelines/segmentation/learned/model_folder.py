"""A fitted segmenter on disk: weights, and the card that says what they are for."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.digests import digest_file, digest_json
from pipelines.errors import ModelError
from pipelines.segmentation.learned.network import CONFIG_KEYS, FieldNetwork, build_network

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "config.json"
#: What a card must say; what else stands there is for people.
CARD_KEYS = ("network", "object_px", "polarity_free", "widths_px", "weights_digest")


@dataclass(frozen=True)
class Card:
    """What a model's ``config.json`` says.

    Attributes
    ----------
    network : mapping
        For `build_network`.
    object_px : float
        Width of the typical object at the working scale.
    polarity_free : bool
        Whether the model was fitted to find objects that are bright and such that are dark.
    widths_px : (float, float)
        Narrowest and widest typical object of the images that it was fitted on, in their pixels.
    pixel_sizes_nm : (float, float) or None
        Smallest and largest pixel size of those images; None if one was not known.
    weights_digest : str
        Digest of the file of weights.
    more : mapping
        Whatever else the card says.
    """

    network: Mapping[str, Any]
    object_px: float
    polarity_free: bool
    widths_px: tuple[float, float]
    pixel_sizes_nm: tuple[float, float] | None
    weights_digest: str
    more: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Digest of all that decides what the model finds."""
        return digest_json([self.weights_digest, dict(self.network), self.object_px])


def write_model_folder(folder: Path, network: nn.Module, card: Mapping[str, Any]) -> str:
    """Write a model, whole or not at all; return the digest of its weights.

    Parameters
    ----------
    folder : Path
        A model that is there already is replaced.
    network : nn.Module
        The network.
    card : mapping
        What ``config.json`` is to say; the weights' digest is added.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        # safetensors takes neither views nor other memory formats.
        weights = {n: v.detach().cpu().contiguous() for n, v in network.state_dict().items()}
        save_file(weights, partial / WEIGHTS_FILE)
        digest = digest_file(partial / WEIGHTS_FILE)
        text = json.dumps({**card, "weights_digest": digest}, indent=1)
        (partial / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return digest


def read_card(folder: Path) -> Card:
    """Read what a model says of itself.

    Raises
    ------
    ModelError
        If it is missing or damaged, or of a network that this version does not know.
    """
    try:
        found: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {folder} cannot be read: {error}") from error
    missing = [key for key in CARD_KEYS if key not in found]
    if missing:
        raise ModelError(f"model {folder}: {CONFIG_FILE} does not say {', '.join(missing)}")
    unsaid = [key for key in CONFIG_KEYS if key not in found["network"]]
    if unsaid:
        raise ModelError(
            f"model {folder} was fitted by an earlier version, whose network says no "
            f"{', '.join(unsaid)}; fit it again"
        )
    sizes = found.get("pixel_sizes_nm")
    known = {*CARD_KEYS, "pixel_sizes_nm"}
    return Card(
        network=found["network"],
        object_px=float(found["object_px"]),
        polarity_free=bool(found["polarity_free"]),
        widths_px=(float(found["widths_px"][0]), float(found["widths_px"][1])),
        pixel_sizes_nm=None if sizes is None else (float(sizes[0]), float(sizes[1])),
        weights_digest=found["weights_digest"],
        more={key: value for key, value in found.items() if key not in known},
    )


def read_model_folder(folder: Path) -> tuple[FieldNetwork, Card]:
    """Read a model, and check that its weights are those of its card.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the weights are others.
    """
    card = read_card(folder)
    try:
        if digest_file(folder / WEIGHTS_FILE) != card.weights_digest:
            raise ModelError(f"model {folder}: {WEIGHTS_FILE} is not what {CONFIG_FILE} describes")
        weights: dict[str, Tensor] = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"model {folder} cannot be read: {error}") from error
    # Whatever is drawn for first weights is overwritten; nobody else's stream is touched.
    with torch.random.fork_rng(devices=[]):
        network = build_network(card.network)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"model {folder}: the weights do not fit the network: {error}") from error
    return network, card
