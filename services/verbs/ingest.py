"""``tessera ingest``: instrument files and folders become mosaics of the archive."""

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.archive import Archive, create_archive
from services import event_log
from services.lock import hold
from services.outcome import Outcome
from services.progress import Progress, note
from services.settings import ArchiveSettings

if TYPE_CHECKING:
    from pipelines.mosaic.ingest_plan import IngestPlan
    from pipelines.mosaic.publication import Publisher

#: More would wait for the disk, and each holds a few hundred megabytes.
MOST_CHILDREN = 8
_SHOWN = 5


class Settings(ArchiveSettings):
    """Turn images into mosaics: TIFF, BigTIFF, OME-TIFF, PNG, JPEG and OME-Zarr.

    A folder means the images directly inside; an OME-Zarr folder is one image. Of several pages,
    channels, slices or times the first plane is taken. Colour becomes luma. TIFF and EXIF
    orientation are applied. Files that cannot be read faithfully are put in quarantine with the
    reason (exit status 3), and the others go on. Equal files are not ingested twice.
    """

    sources: tuple[Path, ...] = Field(
        (),
        description="images, or folders of images",
        json_schema_extra={"argument": True, "metavar": "SOURCE"},
    )
    pixel_size_nm: float | None = Field(
        None, gt=0, description="edge of a pixel in nm; wins over what the files say"
    )
    allow_unknown_pixel_size: bool = Field(
        False, description="take images whose pixel size is not known; results are in px alone"
    )
    truth: Path | None = Field(
        None, description="folder of instance maps (PNG, TIFF) named like the images"
    )


def execute(settings: Settings) -> Outcome:
    """Ingest into an archive, which is made if it is not there."""
    from pipelines.mosaic.ingest_plan import find_truth_maps
    from pipelines.mosaic.sources import find_sources

    # Refuse a wrong path before an archive is made.
    find_truth_maps(settings.truth, find_sources(settings.sources))
    archive = create_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Ingest what is new among the sources; none is nothing to do."""
    if not settings.sources:
        return Outcome("ingested", {"mosaics": 0, "unchanged": 0})
    from pipelines.mosaic.ingest_plan import find_truth_maps, plan_ingest
    from pipelines.mosaic.publication import Publisher, clear_scratch
    from pipelines.mosaic.sources import find_sources
    from services.versions import code_version

    sources = find_sources(settings.sources)
    truth = find_truth_maps(settings.truth, sources)
    if settings.truth:
        note(f"truth: {len(truth)} of {len(sources)} images have an instance map")
    folder = clear_scratch(archive)
    try:
        plan = plan_ingest(
            archive,
            sources,
            pixel_size_nm=settings.pixel_size_nm,
            allow_unknown_pixel_size=settings.allow_unknown_pixel_size,
            truth=truth,
            folder=folder,
        )
        publisher = Publisher(archive, plan, code_version=code_version())
        try:
            return _ingest(plan, publisher)
        except KeyboardInterrupt:
            publisher.flush()
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ingest(plan: "IngestPlan", publisher: "Publisher") -> Outcome:
    from pipelines.mosaic.converter import convert_all
    from pipelines.mosaic.ingest_plan import Refused

    reasons = {source.name: "as before" for source in plan.still_refused}
    for key, source in plan.adopted.items():
        publisher.adopt(source, key)
    for refused in plan.refused:
        publisher.refuse(refused)
        reasons[refused.source.name] = refused.reason
    progress = Progress("ingest", len(plan.jobs), unit="images")
    infos: dict[str, Mapping[str, Any]] = {}
    for ended in convert_all(plan.jobs, n_children=min(MOST_CHILDREN, os.cpu_count() or 1)):
        progress.advance()
        job, seconds, attempts = ended.job, ended.seconds, ended.attempts
        event_log.write(
            "image",
            mosaic=job.name,
            status="failed" if ended.info is None else "done",
            seconds=round(seconds, 4),
            attempts=attempts,
            **({"reason": ended.reason} if ended.info is None else {}),
        )
        if ended.info is not None:
            infos[job.name] = ended.info
            publisher.add(job, seconds=seconds, attempts=attempts)
        else:
            reasons[job.name] = ended.reason
            refused = Refused(plan.sources[job.key], job.key, ended.reason, ended.may_pass_later)
            publisher.refuse(refused, seconds=seconds, attempts=attempts)
    publisher.flush()
    _tell(infos, reasons)
    n_pixels = sum(info["shape"][0] * info["shape"][1] for info in infos.values())
    values = {
        "mosaics": len(infos) + len(plan.adopted),
        "unchanged": len(plan.done),
        "megapixels": round(n_pixels / 1e6, 1),
    }
    return Outcome("ingested", values, n_quarantined=len(reasons))


def _tell(infos: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str]) -> None:
    """Say on stderr what a user should know of the images, a line per kind."""
    remarks: dict[str, list[str]] = defaultdict(list)
    for name, info in sorted(infos.items()):
        acquisition = info["acquisition"]
        for text in acquisition.get("notes", []):
            remarks[f"took {text}"].append(name)
        stated, used = acquisition.get("stated_pixel_size_nm"), info["pixel_size_nm"]
        if stated and used and abs(stated - used) > 0.01 * used:
            remarks[f"--pixel-size-nm {used:g} was taken, the file says {stated:.6g}"].append(name)
    for name, reason in sorted(reasons.items()):
        remarks[f"quarantined: {reason}"].append(name)
    for remark, names in remarks.items():
        shown = ", ".join(names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        note(f"{shown}{more}: {remark}")
