"""``tessera segmenter fit``: learn to find objects from masks, and register the segmenter."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipelines.archive import Archive, open_archive
from services.lock import hold
from services.outcome import Outcome
from services.progress import Progress, note
from services.settings import CLUSTER_KEYS, TeamSettings

if TYPE_CHECKING:
    from pipelines.segmenter.plan import FitPlan
    from services.segmenting.reference import Resolved
    from services.segmenting.sources import Sources
    from services.tracking import TrackedRun

STAGE = "segmenter-fit"


class Settings(TeamSettings):
    """Fit a segmenter for images on which thresholds fail, and register it as NAME@candidate.

    It learns from masks that somebody drew (--truth DIR with images and labels, segmaps or masks
    of equal names; five are enough), from mosaics whose truth is known, from what classical
    methods agree on in other mosaics (--weak), and from made-up scenes (--simulated), in balanced
    batches. Some of the drawn images are held out to be judged on. An interrupted fit goes on with
    the same command, and a finished one is not done again.
    """

    name: str = Field(
        "segmenter",
        # Refused here and not by the registry after an hour of fitting.
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="name of the registered segmenter",
    )
    truth: Path | None = Field(
        None, description="folder of images, and labels, segmaps or masks of equal names"
    )
    pixel_size_nm: float | None = Field(
        None, gt=0, description="pixel size of the images in --truth, where their files say none"
    )
    mosaic: tuple[str, ...] = Field((), description="only these mosaics (GLOB); repeatable")
    believe_instances: bool = Field(
        False, description="learn from mosaics' published instances, where no truth is known"
    )
    weak: bool = Field(True, description="learn from what classical methods agree on in mosaics")
    simulated: int = Field(0, ge=0, le=2000, description="made-up scenes to learn from as well")
    start: str | None = Field(
        None,
        description="segmenter to begin with (NAME, NAME@ALIAS or its folder): fewer masks and a "
        "fraction of the time are enough",
    )
    object_px: float = Field(
        18.0, ge=8, le=64, description="width that the typical object is resampled to"
    )
    width: Literal["slim", "wide"] = Field(
        "slim", description="size of the network: slim for processors, wide for accelerators"
    )
    local_contrast: bool = Field(
        False, description="objects are much dimmer than what they lie on: compare with that too"
    )
    epochs: int = Field(20, ge=1, description="how long to learn")
    steps_per_epoch: int = Field(25, ge=1, description="batches in an epoch")
    batch_size: int = Field(8, ge=1, description="patches in a batch, over all workers")
    patch_px: int = Field(96, ge=64, description="edge of a patch: a multiple of 32")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="the highest of the schedule")
    fixed_polarity: bool = Field(
        False, description="objects are as bright or dark as in the masks' images, never reversed"
    )
    correct_early: bool = Field(
        True, description="correct weak masks where the network is sure, once it would learn faults"
    )
    held_out_share: float = Field(
        0.2, ge=0, lt=1, description="share of the drawn images that is only judged on"
    )
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )


def execute(settings: Settings) -> Outcome:
    """Fit on an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Fit and register, inside the caller's lock and Ray session if there are."""
    from services import tracking
    from services.threads import wait_politely

    wait_politely()
    tracking.warm()
    from pipelines.digests import digest_json
    from pipelines.ledger import DONE, Entry, append_entries, read_entries
    from services.segmenting.sources import plan_inputs, write_sources
    from services.selection import select_mosaics
    from services.versions import code_version

    names = select_mosaics(archive, settings.mosaic).chosen if archive.mosaic_names() else ()
    inputs = plan_inputs(
        archive,
        names,
        folder=settings.truth,
        pixel_size_nm=settings.pixel_size_nm,
        believe_instances=settings.believe_instances,
        weak=settings.weak,
        n_simulated=settings.simulated,
        on_support=settings.local_contrast,
        seed=settings.seed,
    )
    start = _start(archive, settings)
    digest = start.weights_digest if start else ""
    key = digest_json([STAGE, inputs.identity(archive), _deciding(settings), digest])
    if done := read_entries(archive, STAGE, status=DONE).get(key):
        note("this segmenter is there already: nothing it is made from has changed")
        return Outcome("fitted", {**json.loads(done.result), "unchanged": True})
    folder = archive.scratch / STAGE / key
    sources = write_sources(archive, inputs, folder / "sources")
    plan = _plan(settings, sources, start)
    with tracking.track_run(
        archive,
        "segmenter fit",
        settings.model_dump(mode="json"),
        tracking_uri=settings.tracking_uri,
    ) as run:
        values = _fit_and_register(settings, plan, sources, start, folder, run)
    append_entries(
        archive,
        [
            Entry(
                key,
                STAGE,
                mosaic="",
                unit=f"{settings.name}/{values['version']}",
                result=json.dumps(values),
                settings=settings.model_dump_json(),
                code_version=code_version(),
                run_id=run.run_id,
            )
        ],
    )
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome("fitted", values)


def _deciding(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide the model and where it is registered."""
    others = {"archive", *CLUSTER_KEYS, "truth", "mosaic", "start"}
    return settings.model_dump(mode="json", exclude=others)


def _start(archive: Archive, settings: Settings) -> "Resolved | None":
    """Find the segmenter to begin with, if one is wanted.

    Raises
    ------
    SettingsError, ModelError
        If there is none.
    """
    from services.segmenting.reference import LEARNED, resolve

    if settings.start is None:
        return None
    return resolve(archive, f"{LEARNED}:{settings.start}", tracking_uri=settings.tracking_uri)


def _plan(settings: Settings, sources: "Sources", start: "Resolved | None") -> "FitPlan":
    """Turn settings into a plan.

    Raises
    ------
    SettingsError
        If a setting breaks its rule.
    """
    from pipelines.segmenter.plan import FitPlan

    # Of a single drawn group nothing can be held out.
    n_groups = len({s.group for s in sources.sources if s.kind == "truth"})
    return FitPlan(
        sources=sources.sources,
        object_px=settings.object_px,
        width=settings.width,
        local_contrast=settings.local_contrast,
        n_epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        batch_size=settings.batch_size,
        patch_px=settings.patch_px,
        learning_rate=settings.learning_rate,
        polarity_free=not settings.fixed_polarity,
        correct_early=settings.correct_early,
        held_out_share=settings.held_out_share if n_groups > 1 else 0.0,
        start=None if start is None else Path(start.method.partition(":")[2]),
        seed=settings.seed,
    )


def _fit_and_register(
    settings: Settings,
    plan: "FitPlan",
    sources: "Sources",
    start: "Resolved | None",
    folder: Path,
    run: "TrackedRun",
) -> dict[str, Any]:
    """Do the work of a run; return what is worth telling."""
    from pipelines.segmenter.files import read_history
    from pipelines.segmenter.flow import fit_segmenter
    from services.segmenter_registry import register_segmenter
    from services.segmenting.card import make_card
    from services.segmenting.session import ray_if

    progress = Progress("fit", plan.n_epochs, unit="epochs")
    if n_done := len(read_history(folder / "fit", plan)):
        note(f"fit: going on after epoch {n_done}")
        progress.advance(n_done)
    with ray_if(settings.train_workers, settings.address):
        result = fit_segmenter(
            plan,
            folder / "fit",
            n_workers=settings.train_workers,
            wish=settings.team_wish,
            report=lambda _: progress.advance(),
        )
    card = make_card(settings.model_dump(mode="json"), plan, sources, result, start)
    run.tags({name: value for name, value in card.items() if name not in ("settings", "history")})
    for name, digest in result.digests.items():
        run.dataset(name, digest, source=f"segmenter/{name}", context="training")
    run.history([{k: v for k, v in row.items() if k != "epoch"} for row in result.history])
    run.metrics(result.metrics, step=len(result.history))
    registered = register_segmenter(run, result.model, name=settings.name, card=card)
    config = registered.config
    return {
        "model": settings.name,
        "version": registered.version,
        "uri": registered.uri,
        "run": run.run_id,
        **{f"{kind}_images": n for kind, n in sources.counts.items()},
        "epochs": len(result.history),
        **result.metrics,
        "widths_px": config["widths_px"],
        "pixel_sizes_nm": config["pixel_sizes_nm"],
        "digests": dict(result.digests),
    }
