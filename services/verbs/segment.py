"""``tessera segment``: every particle of every mosaic, once, with its measurements."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipelines.archive import Archive, open_archive
from services.lock import hold
from services.outcome import Outcome
from services.settings import ClusterSettings

if TYPE_CHECKING:
    from pipelines.segmentation.settings import SegmentationSettings


class Settings(ClusterSettings):
    """Find every particle: instance ids in the mosaics, measurements in the particles table.

    Lengths are in pixels of the full mosaic, grey levels in its own units. The result does not
    depend on the tiles or the number of workers. What is done already is not done again, and an
    interrupted run goes on where it stopped.
    """

    mosaic: str = Field("*", description="only mosaics whose name fits this pattern")
    method: str = Field(
        "otsu",
        description="otsu, local, intensity, learned:FOLDER, or file.py:NAME of your own",
    )
    polarity: Literal["auto", "bright", "dark"] = Field(
        "auto", description="whether particles are brighter or darker than their surroundings"
    )
    threshold: float | None = Field(
        None, gt=0, description="grey levels between background and particle; found by default"
    )
    smooth_px: float | None = Field(
        None, ge=0, le=20, description="smoothing before thresholding; by the noise, by default"
    )
    flatten_px: int = Field(
        512, ge=0, description="scale at which the background varies; 0 if it does not"
    )
    fill_holes_px: int = Field(32, ge=0, le=512, description="widest hole that is filled")
    max_radius_px: int = Field(
        64, ge=1, le=255, description="particles joined by a neck twice this thick stay one"
    )
    split_px: float = Field(
        1.0, ge=0, description="how much two particles must widen beside their neck to be two"
    )
    split_fraction: float = Field(
        0.1, ge=0, le=1, description="the same, as a fraction of the smaller one's radius"
    )
    min_diameter_px: float = Field(6.0, ge=0, description="smallest equivalent diameter kept")
    max_diameter_px: float | None = Field(None, gt=0, description="largest one kept")
    min_diameter_nm: float | None = Field(None, gt=0, description="smallest one kept, in nm")
    max_diameter_nm: float | None = Field(None, gt=0, description="largest one kept, in nm")
    min_relative_diameter: float = Field(
        0.3, ge=0, le=1, description="smallest one kept, as a share of the typical; 0 for all"
    )
    clear_border: bool = Field(False, description="drop particles at the mosaic's edge")
    object_px: float | None = Field(
        None,
        ge=2,
        le=512,
        description="width of the typical object, for learned methods; estimated",
    )
    core_px: int = Field(
        2048, ge=64, le=16384, description="edge of a tile: a power of two; not of the result"
    )
    halo_px: int | None = Field(
        None, ge=0, description="read around a tile; what the settings need, by default"
    )
    retry_quarantined: bool = Field(False, description="try tiles in quarantine again")


def execute(settings: Settings) -> Outcome:
    """Segment the archive's mosaics."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Segment, inside the caller's lock and Ray session if there are."""
    import json

    from pipelines.segmentation.plan import n_gaps, plan_segmentation
    from services.progress import Progress
    from services.versions import code_version

    names = [name for name in archive.mosaic_names() if fnmatchcase(name, settings.mosaic)]
    plan = plan_segmentation(
        archive,
        names,
        segmentation_settings(settings),
        core_px=settings.core_px,
        halo_px=settings.halo_px,
        retry_quarantined=settings.retry_quarantined,
    )
    entries = list(plan.finished)
    workers = 0
    if plan.mosaics:
        # Ray is neither started nor imported where there is nothing to do.
        from cluster.resources import ActorPool, n_workers
        from cluster.session import connect
        from pipelines.segmentation.commits import Provenance
        from pipelines.segmentation.flow import segment_mosaics

        with connect(settings.address):
            workers = n_workers(settings.workers)
            progress = Progress("segment", plan.n_tiles_left)
            entries += segment_mosaics(
                archive,
                plan,
                ActorPool(workers),
                provenance=Provenance(code_version=code_version()),
                on_tile=progress.advance,
            )
    results = [json.loads(entry.result) for entry in entries]
    return Outcome(
        "segmented",
        {
            "mosaics": len(entries),
            "tiles": plan.n_tiles_left,
            "skipped": plan.n_tiles - plan.n_tiles_left,
            "unchanged": len(plan.finished),
            "instances": sum(result["instances"] for result in results),
            "dropped": sum(result["dropped"] for result in results),
            "crossing_seams": sum(result["crossing_seams"] for result in results),
            "uncertain": sum(result["uncertain"] for result in results),
            "workers": workers,
        },
        n_quarantined=sum(n_gaps(entry) for entry in entries),
    )


def segmentation_settings(settings: Settings) -> "SegmentationSettings":
    """Return the part of the settings that decides the result."""
    from dataclasses import fields
    from pathlib import Path

    from pipelines.segmentation.settings import SegmentationSettings

    values = {f.name: getattr(settings, f.name) for f in fields(SegmentationSettings)}
    path, _, name = settings.method.rpartition(":")
    # Workers run in other folders.
    if path.endswith(".py"):
        values["method"] = f"{Path(path).resolve()}:{name}"
    elif path == "learned":
        values["method"] = f"{path}:{Path(name).resolve()}"
    return SegmentationSettings(**values)
