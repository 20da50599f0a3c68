"""``tessera versions export``: a label version as files of other tools."""

import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.archive import open_archive
from pipelines.errors import SettingsError
from pipelines.places import in_bucket, place
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Export a label version.

    parquet and csv: all rows; an edited CSV file can be taken back with `tessera versions import`.
    coco: one JSON file with boxes and masks of the particles with a label. ome-zarr: a folder with
    the instances of every mosaic, coloured by class and with properties, for napari and others.
    """

    format: Literal["parquet", "csv", "coco", "ome-zarr"] = Field(description="what to write")
    out: Path = Field(description="the file, or for ome-zarr the folder, to write")
    version: int | None = Field(None, ge=0, description="the version; the newest by default")
    images: bool = Field(False, description="ome-zarr: copy the mosaics' pixels too")
    force: bool = Field(False, description="replace what is there")


def execute(settings: Settings) -> Outcome:
    """Export; what is written is there wholly or not at all."""
    from services.label_export import coco, ome_zarr, tables
    from services.label_export.source import ExportSource
    from services.versions_text import resolve

    archive = open_archive(settings.archive)
    if in_bucket(place(settings.out)):
        raise SettingsError(f"--out must be a path on this machine, got {place(settings.out)}")
    out = settings.out.absolute()
    if out == archive.root or archive.root in out.parents:
        raise SettingsError(f"--out must lie outside the archive, got {settings.out}")
    if settings.images and settings.format != "ome-zarr":
        raise SettingsError(f"--images goes with --format ome-zarr alone, got {settings.format}")
    if out.exists() and not settings.force:
        raise SettingsError(f"--out: {settings.out} exists; --force replaces it")
    source = ExportSource(archive, resolve(archive, settings.version))
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if settings.format == "ome-zarr":
            counts = ome_zarr.export_ome_zarr(source, partial, images=settings.images)
        else:
            writers = {
                "parquet": tables.export_parquet,
                "csv": tables.export_csv,
                "coco": coco.export_coco,
            }
            counts = writers[settings.format](source, partial)
        _remove(out)
        partial.rename(out)
    finally:
        _remove(partial)
    return Outcome(
        "exported",
        {
            "version": source.version.version,
            "digest": source.version.digest,
            "format": settings.format,
            **counts,
            "out": str(settings.out),
        },
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
