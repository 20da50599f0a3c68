"""Look for defects at night, with a detector that was fitted before."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from services.nightly.snapshot import DETECT

if TYPE_CHECKING:
    from services.nightly.steps import Night


def find_defects(night: "Night") -> Mapping[str, Any]:
    """Score the patches of the mosaics that have no scores yet, where the settings ask for it."""
    from services.defects.registry import load_detector
    from services.verbs.defects import score

    reference = night.settings.defect_model
    if not reference:
        return {"defects": 0, "why": "not asked for"}
    stage = night.stage(DETECT)
    detector = load_detector(night.archive, reference, tracking_uri=stage.tracking_uri)
    names, small = _large_enough(night, stage.mosaic, detector.config["patch_px"])
    if not names:
        return {"defects": 0, "why": "no mosaic to look at", "too_small": small}
    outcome = score.perform(night.archive, stage.model_copy(update={"mosaic": tuple(names)}))
    return {**outcome.values, "too_small": small, "n_quarantined": outcome.n_quarantined}


def _large_enough(
    night: "Night", patterns: tuple[str, ...], patch_px: int
) -> tuple[list[str], list[str]]:
    """Return the mosaics to look at, and those that hold no patch."""
    from pipelines.mosaic.ome_zarr import open_mosaic

    archive = night.archive
    names = [
        name
        for name in archive.mosaic_names()
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    small = [n for n in names if min(open_mosaic(archive.mosaic(n)).info.shape) < patch_px]
    return [name for name in names if name not in small], small
