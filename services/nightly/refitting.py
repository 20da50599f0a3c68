"""Fit the learned segmenter anew at night, and use it if it finds outlined objects better."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive
from pipelines.errors import ModelError, SettingsError
from services.model_history import CHAMPION
from services.nightly.gate import AUTHOR, decide
from services.nightly.segmenter_gate import LEAST_IMAGES, compare_segmenters
from services.nightly.snapshot import REFIT
from services.progress import note

if TYPE_CHECKING:
    from services.nightly.steps import Night
    from services.segmenting.contest import Entrant
    from services.segmenting.images import KnownImage
    from services.segmenting.reference import Resolved

#: What the first segmenter has to beat.
CLASSICAL = "otsu"


def refit_segmenter(night: "Night") -> Mapping[str, Any]:
    """Fit a segmenter on what the archive holds by now, and decide whether it is better.

    Where nothing that it is fitted on has changed, it is the one of an earlier night; it is judged
    again, as more images may have been outlined.
    """
    from services.segmenting.reference import LEARNED, resolve
    from services.verbs.segmenter import fit

    archive, settings = night.archive, night.settings
    if not settings.refit_segmenter:
        return _nothing("not asked for")
    held_out = night.held_out()
    names = tuple(name for name in archive.mosaic_names() if name not in held_out)
    if not names:
        return _nothing("there is no mosaic to learn from")
    name = night.stage(REFIT).name
    champion = _champion(night, name)
    start = champion.reference if settings.warm_start and champion.reference else None
    fitted = fit.perform(archive, night.stage(REFIT, mosaic=names, start=start)).values
    reference = f"{LEARNED}:{name}/{fitted['version']}"
    candidate = resolve(archive, reference, tracking_uri=settings.tracking_uri)
    told = {"candidate": candidate.said, "champion": champion.said}
    if candidate.said == champion.said:
        return {**_nothing("nothing to judge: the candidate is the champion"), **told}
    return {**_judge(night, candidate, champion), **told}


def promote_segmenter(night: "Night") -> Mapping[str, Any]:
    """Use tonight's segmenter from now on, if it was found better."""
    from services.model_promotion import promote_model

    verdict = night.of("segmenter")
    if not verdict["promote"]:
        return {"champion": verdict["champion"], "promoted": False}
    name, _, version = verdict["candidate"].partition(":")[2].rpartition("/")
    promote_model(
        night.archive,
        name,
        version,
        author=AUTHOR,
        reason=verdict["why"],
        run_id=night.journal.run_id,
        metrics={"f1_50": verdict["comparisons"][0]["candidate"]},
        tracking_uri=night.settings.tracking_uri,
    )
    return {"champion": verdict["candidate"], "promoted": True}


def _champion(night: "Night", name: str) -> "Resolved":
    """Return the segmenter in use; the classical method where there is none yet."""
    from services.segmenting.reference import LEARNED, resolve

    uri = night.settings.tracking_uri
    try:
        return resolve(night.archive, f"{LEARNED}:{name}@{CHAMPION}", tracking_uri=uri)
    except ModelError:
        return resolve(night.archive, CLASSICAL)


def _judge(night: "Night", candidate: "Resolved", champion: "Resolved") -> dict[str, Any]:
    """Let both find the objects of outlined images that neither was fitted on."""
    from services.segmenting.images import folder_images

    settings = night.settings
    # Without it, the settings were refused.
    assert settings.segmenter_truth is not None
    if unfit := _unfit(night, candidate):
        return _nothing(f"not promoted: {unfit}")
    seen = candidate.seen | champion.seen
    given = folder_images(settings.segmenter_truth, night.stage(REFIT).pixel_size_nm)
    images = [image for image in given if image.digest not in seen]
    if len(images) < LEAST_IMAGES:
        return _nothing(
            f"not promoted: {len(images)} outlined images that neither was fitted on are too few "
            f"to judge by, {LEAST_IMAGES} are needed"
        )
    object_px = night.stage("segment").object_px
    entrants = _look(night.archive, (candidate, champion), images, object_px)
    for entrant in entrants:
        if entrant.failure:
            return _nothing(f"not promoted: {entrant.method.said} failed: {entrant.failure}")
    ours, theirs = ([entrant.found[image.name] for image in images] for entrant in entrants)
    comparison = compare_segmenters(
        [image.instances for image in images],
        ours,
        theirs,
        seed=settings.seed,
    )
    verdict = decide([comparison], margin=settings.margin, min_judged=settings.min_judged)
    note(f"segmenter: {verdict.why}")
    return {**verdict.to_json(), "margin": settings.margin}


def _look(
    archive: Archive,
    methods: "Sequence[Resolved]",
    images: "Sequence[KnownImage]",
    object_px: float | None,
) -> "list[Entrant]":
    """Let methods find the objects of images."""
    from pipelines.segmentation.settings import SegmentationSettings
    from services.segmenting.contest import enter, laid_out

    with laid_out(images, archive.scratch / "segmenter-night") as mosaics:
        return [
            enter(method, mosaics, SegmentationSettings(method=method.method, object_px=object_px))
            for method in methods
        ]


def _unfit(night: "Night", method: "Resolved") -> str:
    """Say of which mosaic a segmenter knows nothing, if there is one."""
    from pipelines.mosaic.ome_zarr import open_mosaic
    from services.segmenting.reference import check_fit

    stage = night.stage("segment")
    if stage.force:
        return ""
    for name in night.archive.mosaic_names():
        info = open_mosaic(night.archive.mosaic(name)).info
        try:
            check_fit(method, f"mosaic {name}", info.pixel_size_nm, stage.object_px)
        except SettingsError as error:
            return str(error)
    return ""


def _nothing(why: str) -> dict[str, Any]:
    return {"promote": False, "why": why, "comparisons": [], "candidate": "", "champion": ""}
