"""``tessera segment``: every particle of every mosaic, once, with its measurements."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipelines.archive import Archive, open_archive
from services.lock import hold
from services.outcome import Outcome
from services.settings import ClusterSettings

if TYPE_CHECKING:
    from pipelines.ledger import Entry
    from pipelines.segmentation.plan import SegmentationPlan
    from pipelines.segmentation.settings import SegmentationSettings
    from pipelines.segmentation.tile_task import EndedTile
    from services.segmenting.reference import Resolved


class Settings(ClusterSettings):
    """Find every particle: instance ids in the mosaics, measurements in the particles table.

    Lengths are in pixels of the full mosaic, grey levels in its own units. The result does not
    depend on the tiles or the number of workers. What is done already is not done again, and an
    interrupted run goes on where it stopped.
    """

    mosaic: str = Field("*", description="only mosaics whose name fits this pattern")
    method: str = Field(
        "otsu",
        description="otsu, local, intensity, learned:NAME[@ALIAS], auto, cellpose, stardist, or "
        "file.py:NAME for a method of your own",
    )
    model_path: Path | None = Field(
        None, description="your model for cellpose (a file) or stardist (a folder)"
    )
    force: bool = Field(False, description="use a learned method beyond what it was fitted on")
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
        None, ge=2, le=512, description="typical object's width, for learned methods; estimated"
    )
    core_px: int = Field(
        2048, ge=64, le=16384, description="edge of a tile: a power of two; not of the result"
    )
    halo_px: int | None = Field(
        None, ge=0, description="read around a tile; what the settings need, by default"
    )
    retry_quarantined: bool = Field(False, description="try tiles in quarantine again")
    network_workers: int | None = Field(
        None,
        ge=0,
        description="actors for the network alone; one per GPU, or none, by default",
    )
    tracking_uri: str | None = Field(
        None, description="MLflow server that knows learned methods; the archive's own by default"
    )


def execute(settings: Settings) -> Outcome:
    """Segment the archive's mosaics."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Segment, inside the caller's lock and Ray session if there are."""
    import json

    from pipelines.errors import ArchiveError
    from pipelines.segmentation.plan import n_gaps
    from services.label_carrying import carry_labels
    from services.trust.entry import carry_trusted

    names = [name for name in archive.mosaic_names() if fnmatchcase(name, settings.mosaic)]
    methods = resolve_methods(archive, settings, names)
    if not names:
        raise ArchiveError(f"archive {archive.root} holds no mosaic to segment")
    # All is planned, and refused, before anything begins.
    plans = [plan_mosaics(archive, settings, method, chosen) for method, chosen in methods.items()]
    entries, workers = _segment(archive, settings, plans)
    results = [json.loads(entry.result) for entry in entries]
    n_tiles, n_left = (sum(getattr(p, key) for p in plans) for key in ("n_tiles", "n_tiles_left"))
    said = sorted({method.said for method in methods})
    carried = carry_labels(archive, names)
    if n_trusted := carry_trusted(archive, names):
        carried["trusted_carried"] = n_trusted
    return Outcome(
        "segmented",
        {
            "mosaics": len(entries),
            "tiles": n_left,
            "skipped": n_tiles - n_left,
            "unchanged": sum(len(plan.finished) for plan in plans),
            "instances": sum(result["instances"] for result in results),
            "dropped": sum(result["dropped"] for result in results),
            "crossing_seams": sum(result["crossing_seams"] for result in results),
            "uncertain": sum(result["uncertain"] for result in results),
            "method": ",".join(said),
            "workers": workers,
            "weights": {m.said: m.weights_digest for m in methods if m.weights_digest},
            **carried,
        },
        n_quarantined=sum(n_gaps(entry) for entry in entries),
    )


def resolve_methods(
    archive: Archive, settings: Settings, names: Sequence[str], *, mosaics: Archive | None = None
) -> "dict[Resolved, list[str]]":
    """Find the method of every mosaic, and say what was chosen.

    Parameters
    ----------
    archive : Archive
        Whose registry is asked for learned methods.
    settings : Settings
        The verb's settings.
    names : sequence of str
        The mosaics.
    mosaics : Archive, optional
        The archive that has them, if it is another.

    Returns
    -------
    methods : dict
        Names of mosaics by method.

    Raises
    ------
    SettingsError, ModelError
        If there is none, or it does not fit.
    """
    from pipelines.errors import SettingsError
    from pipelines.mosaic.ome_zarr import open_mosaic
    from services.progress import note
    from services.segmenting.reference import resolve_all

    method = settings.method
    if settings.model_path is not None:
        if ":" in method:
            raise SettingsError(f"--model-path is for a method's plain name, got --method {method}")
        method = f"{method}:{settings.model_path}"
    methods, choices = resolve_all(
        archive,
        method,
        [open_mosaic((mosaics or archive).mosaic(name)).info for name in names],
        object_px=settings.object_px,
        force=settings.force,
        tracking_uri=settings.tracking_uri,
    )
    for choice in dict.fromkeys(choices.values()):
        chosen = [name for name, its in choices.items() if its == choice]
        shown = ", ".join(chosen[:3]) + (f" and {len(chosen) - 3} more" if chosen[3:] else "")
        note(
            f"{shown}: {choice.method}, the best of {len(choice.among)} at {choice.group} "
            f"(F1 {choice.f1_50:.3f} on {choice.n_images} images)"
        )
    return methods


def plan_mosaics(
    archive: Archive, settings: Settings, method: "Resolved", names: Sequence[str]
) -> "SegmentationPlan":
    """Plan the segmentation of mosaics by one method."""
    from dataclasses import replace

    from pipelines.segmentation.plan import plan_segmentation

    return plan_segmentation(
        archive,
        names,
        replace(segmentation_settings(settings), method=method.method),
        core_px=settings.core_px,
        halo_px=settings.halo_px,
        retry_quarantined=settings.retry_quarantined,
    )


def _segment(
    archive: Archive, settings: Settings, plans: "Sequence[SegmentationPlan]"
) -> "tuple[list[Entry], int]":
    """Do what is planned; return all mosaics' entries, and the number of workers."""
    from services import event_log
    from services.progress import Progress
    from services.versions import code_version

    entries = [entry for plan in plans for entry in plan.finished]
    to_do = [plan for plan in plans if plan.mosaics]
    if not to_do:
        # Ray is neither started nor imported where there is nothing to do.
        return entries, 0
    from cluster.resources import connected_nodes
    from cluster.session import connect
    from pipelines.segmentation.commits import Provenance
    from pipelines.segmentation.flow import plan_pools, segment_mosaics

    with connect(settings.address):
        nodes = connected_nodes()
        pools = [plan_pools(plan, nodes, settings.wish, settings.network_workers) for plan in to_do]
        workers = max(pool.size for pool, _ in pools)
        progress = Progress("segment", sum(plan.n_tiles_left for plan in to_do))

        def on_tile(tile: "EndedTile") -> None:
            event_log.tile_ended("segment", tile)
            progress.advance()

        for plan, (pool, network_pool) in zip(to_do, pools, strict=True):
            entries += segment_mosaics(
                archive,
                plan,
                pool,
                network_pool=network_pool,
                provenance=Provenance(code_version=code_version()),
                on_tile=on_tile,
            )
    return entries, workers


def segmentation_settings(settings: Settings) -> "SegmentationSettings":
    """Return the part of the settings that decides the result, the method as it was given."""
    from dataclasses import fields

    from pipelines.segmentation.settings import SegmentationSettings

    values: dict[str, Any] = {
        f.name: getattr(settings, f.name) for f in fields(SegmentationSettings)
    }
    return SegmentationSettings(**values)
