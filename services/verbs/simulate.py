"""``tessera simulate``: a mosaic of chiral particles with known truth."""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipelines.archive import MOSAIC_SUFFIX, check_mosaic_name
from pipelines.errors import ArchiveError, SettingsError
from pipelines.places import in_bucket, place
from services.outcome import Outcome
from services.settings import VerbSettings

if TYPE_CHECKING:
    from pipelines.simulation.flow import Order
    from pipelines.simulation.workers import Workers

#: Edge of what is written at once, in pixels.
SHARD_PX = 2048


class Settings(VerbSettings):
    """Draw a scanning-electron-microscope mosaic of chiral particles, and write down the truth.

    OUT becomes a folder with NAME.ome.zarr, which carries the true instances as labels/truth,
    and NAME.truth.parquet beside it: hand, place and visibility of every particle. An OUT that
    ends in .ome.zarr is the mosaic itself. The same seed gives the same bytes on any number of
    workers.
    """

    out: Path = Field(
        description="what to make; must not be there yet, or be an empty folder",
        json_schema_extra={"argument": True, "metavar": "OUT"},
    )
    size_px: int = Field(4096, ge=1, le=262144, description="edge of the square mosaic, in pixels")
    particles: int | None = Field(
        None, ge=1, description="how many; by default what the preset puts on such an area"
    )
    preset: Literal["easy", "paper", "hard"] = Field(
        "paper", description="easy to tell; as in published images; or hard"
    )
    left_fraction: float | None = Field(
        None, ge=0, le=1, description="share of left-handed particles; 0.02 by default"
    )
    achiral: bool = Field(False, description="a control: the same particles without a hand")
    mirror: Literal["true-enantiomer", "image"] | None = Field(
        None,
        description="mirror the specimen under the same acquisition, or the finished image",
    )
    pixel_size_nm: float = Field(
        2.0, gt=0, le=1000, description="edge of a pixel; particles keep their size in nm"
    )
    workers: int | None = Field(None, ge=1, description="processes; one per core by default")


def execute(settings: Settings) -> Outcome:
    """Draw the mosaic and its truth, whole or not at all."""
    if in_bucket(place(settings.out)):
        raise SettingsError(f"OUT must be a folder on this machine, got {place(settings.out)}")
    mosaic = mosaic_path(settings.out)
    _check_free(settings.out, mosaic)

    from pipelines.simulation.flow import check, default_count
    from pipelines.simulation.presets import PRESETS

    preset = PRESETS[settings.preset]
    count = settings.particles
    if count is None:
        count = default_count(preset, settings.size_px, settings.pixel_size_nm)
    order = _order(settings, count)
    check(order)
    per_edge = math.ceil(settings.size_px / preset.scan.tile_px)
    n_tiles = per_edge**2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_workers = min(settings.workers or cores or 1, n_tiles)

    from pipelines.simulation.workers import open_workers

    with _published(settings.out, mosaic) as folder, open_workers(n_workers) as pool:
        values = _write(order, folder / mosaic.name, n_tiles, pool)
    return Outcome("simulated", {"mosaic": str(mosaic), **values})


def mosaic_path(out: Path) -> Path:
    """Tell where the mosaic of a simulation lies.

    Raises
    ------
    SettingsError
        If its name cannot be a mosaic's.
    """
    full = Path(os.path.abspath(out))
    mosaic = full if full.name.endswith(MOSAIC_SUFFIX) else full / f"{full.name}{MOSAIC_SUFFIX}"
    try:
        check_mosaic_name(mosaic.name.removesuffix(MOSAIC_SUFFIX))
    except ArchiveError as error:
        raise SettingsError(f"OUT: {error}") from None
    return mosaic


def truth_path(mosaic: Path) -> Path:
    """Tell where the truth of a simulated mosaic lies: beside it."""
    return mosaic.with_name(f"{mosaic.name.removesuffix(MOSAIC_SUFFIX)}.truth.parquet")


def _order(settings: Settings, count: int) -> "Order":
    from pipelines.simulation.flow import Order
    from pipelines.simulation.presets import PRESETS

    preset = PRESETS[settings.preset]
    left = preset.left_fraction if settings.left_fraction is None else settings.left_fraction
    return Order(
        size_px=settings.size_px,
        n_particles=count,
        left_fraction=left,
        preset=preset,
        seed=settings.seed,
        pixel_size_nm=settings.pixel_size_nm,
        achiral=settings.achiral,
        mirror=settings.mirror,
    )


def _write(order: "Order", mosaic: Path, n_tiles: int, pool: "Workers") -> dict[str, Any]:
    """Write the mosaic with its instances, and the truth beside it."""
    import numpy as np
    import pyarrow.parquet as pq

    from pipelines.mosaic.ome_zarr import create_instances, create_mosaic
    from pipelines.simulation.assembly import gather
    from pipelines.simulation.flow import draw_scene, particles_shown, render_scene
    from pipelines.simulation.truth import Sighting, truth_rows
    from pipelines.tables import to_table
    from services.progress import track

    scene, acquisition = draw_scene(order, pool)
    shape = (order.size_px, order.size_px)
    writer = create_mosaic(
        mosaic,
        shape=shape,
        dtype=np.uint8,
        pixel_size_nm=order.pixel_size_nm,
        acquisition=_acquisition(order),
        shard_px=SHARD_PX,
    )
    # The instances lie in the unfinished mosaic, so that both are there at once or not at all.
    instances = create_instances(
        writer.partial,
        "truth",
        shape=shape,
        pixel_size_nm=order.pixel_size_nm,
        shard_px=SHARD_PX,
    )
    found: list[Sighting] = []
    alone: dict[int, tuple[float, int]] = {}

    def watched() -> Iterator[tuple[Any, Any, Any]]:
        rendered = render_scene(order, scene, acquisition, pool, block_px=SHARD_PX)
        for tile in track(rendered, "simulating", n_tiles):
            found.extend(tile.found)
            alone.update(tile.alone)
            yield tile.window, tile.grey, tile.instances

    for window, grey, ids in gather(watched(), size_px=order.size_px, block_px=SHARD_PX):
        writer.write(window.y0, window.x0, grey)
        instances.write_core(window, ids)
    instances.finish()
    info = writer.finish()
    rows = truth_rows(
        info.name,
        particles_shown(order, scene),
        found,
        alone,
        size_px=order.size_px,
        pixel_size_nm=order.pixel_size_nm,
    )
    truth = truth_path(mosaic)
    pq.write_table(to_table("truth", rows), truth)
    n_left = sum(row["label"] == "left" for row in rows)
    return {
        "truth": truth.name,
        "particles": len(rows),
        "left": n_left,
        "determinable": sum(row["determinable"] for row in rows),
        "tiles": n_tiles,
        "digest": info.digest,
    }


def _acquisition(order: "Order") -> dict[str, Any]:
    from services.versions import code_version

    return {
        "instrument": "simulated",
        "preset": order.preset.name,
        "seed": order.seed,
        "particles": order.n_particles,
        "left_fraction": None if order.achiral else order.left_fraction,
        "achiral": order.achiral,
        "mirror": order.mirror,
        "tile_px": order.preset.scan.tile_px,
        "code_version": code_version(),
    }


def _check_free(out: Path, mosaic: Path) -> None:
    """Refuse an OUT that holds something, before anything is drawn."""
    try:
        taken = out.exists() and not (out != mosaic and out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise SettingsError(f"OUT: {out} cannot be read: {error.strerror}") from error
    if taken:
        raise SettingsError(f"OUT: must not be there yet, or be an empty folder, got {out}")
    if (beside := truth_path(mosaic)).exists():
        raise SettingsError(f"OUT: the truth goes into {beside}, which is there already")


@contextmanager
def _published(out: Path, mosaic: Path) -> Iterator[Path]:
    """Give a hidden folder to write into, and move it into place if all went well."""
    full = Path(os.path.abspath(out))
    folder = full.with_name(f".{full.name}.partial")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
        folder.mkdir(parents=True)
    except OSError as error:
        raise SettingsError(f"OUT: {folder.parent} cannot be written: {error.strerror}") from error
    try:
        yield folder
        if mosaic.parent == full:
            folder.rename(full)  # replaces an empty folder
        else:
            truth = truth_path(mosaic)
            (folder / truth.name).rename(truth)
            (folder / mosaic.name).rename(mosaic)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
