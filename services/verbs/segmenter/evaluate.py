"""``tessera segmenter evaluate``: methods compared on masks of one's own, the best remembered."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.archive import Archive, open_archive
from pipelines.errors import SettingsError
from services.lock import hold
from services.outcome import Outcome
from services.progress import Progress, note
from services.settings import ArchiveSettings

if TYPE_CHECKING:
    from services.segmenting.choice import Choice
    from services.segmenting.contest import Entrant, Group
    from services.segmenting.images import KnownImage
    from services.segmenting.reference import Resolved

CLASSICAL = ("otsu", "local", "intensity")


class Settings(ArchiveSettings):
    """Compare methods on images whose objects you outlined, and remember the best of them.

    Without --method, the classical methods and every registered segmenter are compared. F1 counts
    objects whose IoU with a drawn one is above 0.5 or 0.75. The best of each pixel size is what
    `tessera segment --method auto` uses from then on. A report shows what each of them found.
    """

    truth: Path = Field(description="folder of images, and labels, segmaps or masks of equal names")
    method: tuple[str, ...] = Field(
        (),
        description="only these: otsu, learned:NAME, cellpose:FILE, stardist:FOLDER; repeatable",
    )
    pixel_size_nm: float | None = Field(
        None, gt=0, description="pixel size of the images, where their files say none"
    )
    object_px: float | None = Field(
        None, ge=2, le=512, description="width of the typical object; estimated by default"
    )
    force: bool = Field(False, description="also segmenters that were fitted on other pixel sizes")
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )


def execute(settings: Settings) -> Outcome:
    """Compare on an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Compare, write the report and remember the best, inside the caller's lock if there is."""
    from services import tracking
    from services.threads import wait_politely

    wait_politely()
    tracking.warm()
    from services.segmenting.choice import remember
    from services.segmenting.contest import judge, unseen
    from services.segmenting.images import folder_images
    from services.segmenting.standings import (
        group_table,
        group_values,
        metric_prefix,
        metrics_of,
    )
    from services.versions import code_version

    images = list(folder_images(settings.truth, settings.pixel_size_nm))
    methods = _methods(archive, settings, images)
    n_given = len(images)
    images, n_seen = unseen(images, methods)
    notes = _say(n_given, len(images), n_seen)
    with tracking.track_run(
        archive,
        "segmenter evaluate",
        settings.model_dump(mode="json"),
        tracking_uri=settings.tracking_uri,
    ) as run:
        entrants = _enter(archive, settings, images, methods)
        groups = judge(images, entrants)
        if not groups:
            raise SettingsError(f"no method could be used: {entrants[0].failure}")
        report = _report(archive, groups, entrants, run.run_id, settings, notes)
        choices = [_choice(group, report) for group in groups]
        remember(archive, choices, run_id=run.run_id, code_version=code_version())
        _mark(archive, choices, settings)
        for group in groups:
            for standing in group.standings:
                prefix = metric_prefix(standing, group, groups)
                run.metrics({f"{prefix}/{k}": v for k, v in metrics_of(standing).items()})
        run.tags({"best": {choice.group: choice.method for choice in choices}})
    best = groups[0].best
    return Outcome(
        "evaluated",
        {
            "images": len(images),
            "seen_images": n_seen,
            "objects": sum(group.best.scores.n_truth for group in groups),
            "methods": len(entrants),
            "best": best.entrant.method.said,
            "f1_50": best.scores.f1_50,
            "f1_75": best.scores.f1_75,
            "pq": best.scores.pq,
            "report": str(report),
            "run": run.run_id,
            "groups": [group_values(group) for group in groups],
            "failed": {e.method.said: e.failure for e in entrants if e.failure},
        },
        screen="\n".join(line for group in groups for line in group_table(group)),
    )


def _methods(
    archive: Archive, settings: Settings, images: "Sequence[KnownImage]"
) -> "list[Resolved]":
    """Resolve the methods to compare; registered segmenters that do not fit are left out.

    Raises
    ------
    SettingsError, ModelError
        If one that was named cannot be used.
    """
    from pipelines.segmentation.method import load_method
    from services.segmenter_registry import newest_segmenters
    from services.segmenting.reference import LEARNED, resolve

    uri = settings.tracking_uri
    if settings.method:
        found = [resolve(archive, name, tracking_uri=uri) for name in settings.method]
        for method in found:
            # Refused here, not after the others have been at work.
            load_method(method.method)
            _check_fit(method, images, settings)
        return found
    found = [resolve(archive, name) for name in CLASSICAL]
    for version in newest_segmenters(archive, tracking_uri=uri):
        method = resolve(archive, f"{LEARNED}:{version.reference}", tracking_uri=uri)
        try:
            _check_fit(method, images, settings)
        except SettingsError as error:
            note(f"left out: {error}")
        else:
            found.append(method)
    return found


def _check_fit(method: "Resolved", images: "Sequence[KnownImage]", settings: Settings) -> None:
    from services.segmenting.reference import check_fit

    if not settings.force:
        for image in images:
            check_fit(method, f"image {image.name}", image.pixel_size_nm, settings.object_px)


def _enter(
    archive: Archive,
    settings: Settings,
    images: "Sequence[KnownImage]",
    methods: "Sequence[Resolved]",
) -> "list[Entrant]":
    from pipelines.segmentation.settings import SegmentationSettings
    from services.segmenting.contest import enter, laid_out

    progress = Progress("evaluate", len(methods), unit="methods")
    entrants = []
    with laid_out(images, archive.scratch / "segmenter-evaluate") as mosaics:
        for method in methods:
            wanted = SegmentationSettings(method=method.method, object_px=settings.object_px)
            entrants.append(enter(method, mosaics, wanted))
            progress.advance()
            if entrants[-1].failure:
                note(f"{method.said} failed: {entrants[-1].failure}")
    return entrants


def _report(
    archive: Archive,
    groups: "Sequence[Group]",
    entrants: "Sequence[Entrant]",
    run_id: str,
    settings: Settings,
    notes: "Sequence[str]",
) -> Path:
    from services.report.segmenters import write_segmenter_report

    return write_segmenter_report(
        archive,
        groups,
        entrants,
        run_id=run_id,
        settings=settings.model_dump(mode="json"),
        notes=notes,
    )


def _say(n_given: int, n_used: int, n_seen: int) -> list[str]:
    """Tell which images were left out because a segmenter learned from them, or should be."""
    notes = []
    if n_used < n_given:
        n_out = n_given - n_used
        notes.append(f"left out: {n_out} of {n_given} images, for a segmenter learned from them")
    if n_seen:
        notes.append(
            f"{n_seen} of the {n_used} images were learned from by a segmenter, so its scores are "
            "too good: judge it on others"
        )
    for text in notes:
        note(text)
    return notes


def _choice(group: "Group", report: Path) -> "Choice":
    """Say what a group's best method is, by a name that means the same tomorrow."""
    import numpy as np

    from pipelines.segmentation.learned.widths import instance_areas, typical_width_px
    from services.segmenting.choice import Choice

    widths = [typical_width_px(instance_areas(image.instances)) for image in group.images]
    best = group.best
    method = best.entrant.method
    return Choice(
        method=method.said if method.reference else method.method,
        pixel_sizes_nm=group.pixel_sizes_nm,
        widths_px=(float(np.nanmin(widths)), float(np.nanmax(widths))),
        f1_50=best.scores.f1_50,
        f1_75=best.scores.f1_75,
        pq=best.scores.pq,
        n_images=len(group.images),
        among=tuple(standing.entrant.method.said for standing in group.standings),
        report=report.name,
    )


def _mark(archive: Archive, choices: "Sequence[Choice]", settings: Settings) -> None:
    """Mark the registered segmenters that were best."""
    from services.segmenter_registry import mark_best
    from services.segmenting.reference import LEARNED

    for choice in choices:
        kind, _, reference = choice.method.partition(":")
        if kind == LEARNED and not Path(reference).is_absolute():
            tags = {"best_for": choice.group, "best_f1_50": f"{choice.f1_50:.4f}"}
            mark_best(archive, reference, tags, tracking_uri=settings.tracking_uri)
