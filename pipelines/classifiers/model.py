"""A trained classifier: its folder on disk, and what it says of crops."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.classifiers.networks import build_network
from pipelines.classifiers.plan import View
from pipelines.errors import ModelError
from pipelines.evaluation.classification import softmax
from pipelines.training.augmentation import resample
from pipelines.training.checkpoint import read_model
from pipelines.training.loop import precision

FORMAT_VERSION = 1
#: Pixel sizes outside the trained range by more than this factor are refused.
PIXEL_SIZE_TOLERANCE = 2.0
_BATCH = 256


@dataclass(frozen=True)
class Classifier:
    """A network with all that belongs to its use."""

    network: nn.Module
    config: Mapping[str, Any]
    device: torch.device

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of probabilities."""
        return list(self.config["classes"])

    @property
    def view(self) -> View:
        """What of a particle it sees."""
        return View(**self.config["view"])

    def probabilities(self, crops: NDArray[Any]) -> NDArray[np.float64]:
        """Return calibrated probabilities (N, K) of crops (N, S, S) of the view's ``read_px``."""
        logits = predict_logits(
            self.network,
            crops,
            angles_rad=self.config["angles_rad"],
            input_px=self.view.input_px,
            device=self.device,
        )
        return softmax(logits, temperature=self.config["temperature"])


def load_classifier(folder: Path, *, device: torch.device | None = None) -> Classifier:
    """Load a classifier from its folder.

    Raises
    ------
    ModelError
        If it is damaged, or of a format that this version does not know.
    """
    weights, config = read_model(folder)
    if config.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"model {folder} has format version {config.get('format_version')}; "
            f"this version reads {FORMAT_VERSION}"
        )
    network = build_network(config["network"])
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"model {folder}: weights do not fit the network: {error}") from error
    device = device or default_device()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(network.eval(), config, device)


def describe_model(
    *,
    network: Mapping[str, Any],
    classes: Sequence[str],
    mirrored_class: Sequence[int],
    view: View,
    angles_rad: Sequence[float],
    temperature: float,
    pixel_sizes_nm: Sequence[float | None],
    method: str,
) -> dict[str, Any]:
    """Describe a model so that its weights can be used without knowing how they came about."""
    known = [size for size in pixel_sizes_nm if size is not None]
    return {
        "format_version": FORMAT_VERSION,
        "network": dict(network),
        "classes": list(classes),
        "mirror": {name: classes[i] for name, i in zip(classes, mirrored_class, strict=True)},
        "view": asdict(view),
        "scaling": "percentiles 1 and 99 of each crop become -1 and 1; clipped at -3 and 3",
        "angles_rad": list(angles_rad),
        "temperature": temperature,
        "pixel_size_nm": [min(known), max(known)] if known else None,
        "method": method,
        "signature": {
            "inputs": [
                {"name": "images", "type": "float32", "shape": [-1, 1, *[view.input_px] * 2]}
            ],
            "outputs": [{"name": "logits", "type": "float32", "shape": [-1, len(classes)]}],
        },
    }


def check_pixel_size(config: Mapping[str, Any], mosaic: str, pixel_size_nm: float | None) -> None:
    """Refuse a mosaic whose pixels are not like those the model was trained on.

    Raises
    ------
    ModelError
        If they are too far apart, or the model sees a field in nm and the mosaic's pixel size is
        not known.
    """
    trained = config["pixel_size_nm"]
    if trained is None:
        return
    if pixel_size_nm is None:
        if not config["view"]["in_nm"]:
            return
        raise ModelError(
            f"mosaic {mosaic} has no pixel size; the model's field of view is in nm and was "
            f"trained on {trained[0]:g} to {trained[1]:g} nm"
        )
    low, high = trained[0] / PIXEL_SIZE_TOLERANCE, trained[1] * PIXEL_SIZE_TOLERANCE
    if not low <= pixel_size_nm <= high:
        raise ModelError(
            f"mosaic {mosaic} has pixels of {pixel_size_nm:g} nm; the model was trained on "
            f"{trained[0]:g} to {trained[1]:g} nm and takes {low:g} to {high:g} nm"
        )


def predict_logits(
    network: nn.Module,
    crops: NDArray[Any],
    *,
    angles_rad: Sequence[float],
    input_px: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """Return the logits (N, K) of crops, averaged over rotations, by a network in eval mode."""
    parts = []
    for start in range(0, len(crops), _BATCH):
        batch = to_tensor(crops[start : start + _BATCH], device)
        with torch.inference_mode(), precision(device):
            turned = [network(turn(batch, angle, input_px=input_px)) for angle in angles_rad]
            parts.append(torch.stack(turned).float().mean(dim=0).cpu())
    return torch.cat(parts).double().numpy()


def turn(crops: Tensor, angle_rad: float, *, input_px: int) -> Tensor:
    """Cut the network's input from the middle of crops (N, 1, S, S), turned by an angle."""
    if angle_rad == 0:
        edge = (crops.shape[-1] - input_px) // 2
        return crops[..., edge : edge + input_px, edge : edge + input_px]
    n = len(crops)
    angles = torch.full((n,), angle_rad, device=crops.device)
    ones, zeros = torch.ones_like(angles), torch.zeros(n, 2, device=crops.device)
    return resample(crops, angles, ones, zeros, input_px=input_px)


def to_tensor(crops: NDArray[Any], device: torch.device) -> Tensor:
    """Move crops (N, S, S) to a device as float32 (N, 1, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(crops))[:, None].to(device).float()


def default_device() -> torch.device:
    """Return the accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
