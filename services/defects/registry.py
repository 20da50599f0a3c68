"""Detectors in the registry: what their card says instead of labels and segmentations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive
from pipelines.errors import ModelError

if TYPE_CHECKING:
    from pipelines.defects.model import DefectModel
    from pipelines.mosaic.ome_zarr import MosaicInfo
    from services.model_registry import RegisteredModel
    from services.tracking import TrackedRun

_NONE = "none given"


def make_card(
    settings: Mapping[str, Any], infos: "Sequence[MosaicInfo]", *, labels: str | None, digest: str
) -> dict[str, Any]:
    """Gather what a detector must carry: patches have no segmentation, and perhaps no labels."""
    from services.versions import code_version, library_versions

    return {
        "seed": settings["seed"],
        "settings": dict(settings),
        "method": settings["method"],
        "code_version": code_version(),
        "libraries": library_versions(),
        "mosaics": {info.name: info.digest for info in infos},
        "segmentations": {"none": "patches are cut from mosaics"},
        "label_version": labels or _NONE,
        "label_digest": digest or _NONE,
    }


def register_detector(
    run: "TrackedRun", folder: Path, model: "DefectModel", *, name: str, card: Mapping[str, Any],
    threshold: float, stride_px: int,
) -> "RegisteredModel":  # fmt: skip
    """Write a detector to ``folder`` and register it as a candidate."""
    from pipelines.defects.model import write_defect_model
    from services.model_registry import register_model

    write_defect_model(folder, model, threshold=threshold, stride_px=stride_px)
    return register_model(run, folder, name=name, card=card)


def load_detector(
    archive: Archive, reference: str, *, tracking_uri: str | None
) -> "RegisteredModel":
    """Load a registered detector of defects.

    Raises
    ------
    ModelError
        If there is none, or it is a model of something else.
    """
    from services.model_registry import load_model

    model = load_model(archive, reference, tracking_uri=tracking_uri)
    if model.config.get("task") != "defects":
        raise ModelError(f"model {reference} is not a detector of defects (tessera defects fit)")
    return model
