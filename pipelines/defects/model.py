"""A fitted detector: arrays and settings, never pickled; and what every detector offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.defects.patches import Floats, Patches
from pipelines.errors import ModelError, SettingsError
from pipelines.records import Window

FORMAT_VERSION = 1
#: What a detector is given to learn from. ``all`` repeats a published mistake.
Diet = Literal["clean", "all", "labelled"]
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class DefectModel:
    """What a detector learnt.

    Attributes
    ----------
    method : str
        Name of the detector.
    patch_px : int
        Edge of the patches that it knows.
    arrays : mapping of str to ndarray
        Weights, stored codes, trees.
    settings : mapping
        Numbers and texts that JSON holds.
    """

    method: str
    patch_px: int
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


class Detector(Protocol):
    """What a file of `pipelines.defects.methods` offers as ``DETECTOR``."""

    name: str
    summary: str
    diet: Diet

    def fit(self, patches: Patches, *, seed: int, watch: Watch | None = None) -> DefectModel:
        """Learn what is normal (or, with ``diet`` labelled, what is not)."""
        ...

    def score(self, model: DefectModel, patches: Patches) -> NDArray[np.float64]:
        """Return how odd each patch is, (N,)."""
        ...


class MapDetector(Detector, Protocol):
    """A detector that can also say where in an image it is odd."""

    def survey(self, model: DefectModel, pieces: Floats) -> Any:
        """Learn from pieces (N, h, w) what belongs to one image alone; any picklable value."""
        ...

    def score_map(
        self, model: DefectModel, survey: Any, image: Floats, window: Window, shape: tuple[int, int]
    ) -> Floats:
        """Return how odd each pixel is; ``image`` are the pixels of ``window`` of an image."""
        ...

    def halo_px(self, survey: Any) -> int:
        """Return how far around a pixel its score depends on the image."""
        ...


def fit_detector(
    detector: Detector, patches: Patches, *, seed: int, watch: Watch | None = None
) -> DefectModel:
    """Fit a detector, and see to it that it learns from what it may.

    Raises
    ------
    ValueError
        If a detector of clean patches is given a defect, or a doubtful one.
    SettingsError
        If there is nothing to learn from, or only constant patches.
    """
    if detector.diet == "clean" and not patches.is_clean.all():
        n_bad = int((~patches.is_clean).sum())
        raise ValueError(f"{detector.name} must be fitted on clean patches alone, got {n_bad} bad")
    if not len(patches) or not patches.is_clean.any():
        raise SettingsError(f"{detector.name} has no normal patches to learn from")
    if detector.diet == "labelled" and not patches.is_defect.any():
        raise SettingsError(f"{detector.name} learns from defects too, and there is none")
    if not np.ptp(patches.pixels, axis=(1, 2)).any():
        raise SettingsError("all patches to learn from are constant: is this the right image?")
    return detector.fit(patches, seed=seed, watch=watch)


def write_defect_model(folder: Path, model: DefectModel, **more: Any) -> None:
    """Write a model as safetensors and JSON; ``more`` is kept with its description."""
    import torch

    from pipelines.training.checkpoint import write_model

    weights = {name: torch.from_numpy(np.array(value)) for name, value in model.arrays.items()}
    # A file without any tensor has no digest to speak of.
    weights = weights or {"nothing": torch.zeros(1)}
    config = {
        "format_version": FORMAT_VERSION,
        "task": "defects",
        "method": model.method,
        "patch_px": model.patch_px,
        "settings": dict(model.settings),
        **more,
    }
    write_model(folder, weights, config)


def read_defect_model(folder: Path) -> tuple[DefectModel, dict[str, Any]]:
    """Read a model and its whole description.

    Raises
    ------
    ModelError
        If it is damaged, or not a model of defects that this version knows.
    """
    from pipelines.training.checkpoint import read_model

    weights, config = read_model(folder)
    if config.get("task") != "defects" or config.get("format_version") != FORMAT_VERSION:
        raise ModelError(f"model {folder} is not a defect detector of format {FORMAT_VERSION}")
    arrays = {name: value.numpy() for name, value in weights.items() if name != "nothing"}
    model = DefectModel(config["method"], config["patch_px"], arrays, config["settings"])
    return model, config
