"""The report's mosaics: what they look like, what was found in each, and how seams fared."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.archive import Archive
from pipelines.evaluation.scene_figures import seam_map
from pipelines.ledger import read_entries
from pipelines.mosaic.ome_zarr import MosaicInfo, has_instances, open_instances, open_mosaic
from pipelines.segmentation.tile_task import WHOLE
from services.report.blocks import (
    FOLD_FROM_N,
    ROWS_N,
    Block,
    Section,
    Table,
    Text,
    number,
    percent,
    score,
)
from services.report.embedding import FigureFolder
from services.report.images import THUMBNAIL_PX, draw_cut_out, draw_overview
from services.report.inputs import ReportInputs
from services.report.particles import Particles, is_known
from services.report.population import share_of, target_class

#: Pictures beyond these are left out, and the report says so.
THUMBNAILS_N = 8


def mosaics(
    archive: Archive,
    infos: Sequence[MosaicInfo],
    particles: Particles,
    figures: FigureFolder,
    inputs: ReportInputs,
) -> Section:
    """Show the mosaics, the one with the most particles large, and what was found in each."""
    if not infos:
        return Section("mosaics", "Mosaics", [Text("The archive holds no mosaic.")])
    ordered = sorted(infos, key=lambda info: (-len(particles.rows_of(info.name)), info.name))
    first, *others = (info.name for info in ordered)
    blocks: list[Block] = [draw_overview(archive, particles, first, figures)]
    if cut_out := draw_cut_out(archive, particles, first, figures):
        blocks.append(cut_out)
    for name in others[:THUMBNAILS_N]:
        blocks.append(draw_overview(archive, particles, name, largest_px=THUMBNAIL_PX))
    if len(others) > THUMBNAILS_N:
        n_more = len(others) - THUMBNAILS_N
        blocks.append(Text(f"{n_more} more mosaics are not shown; all are in the table."))
    blocks.append(_table(infos, particles, inputs))
    return Section("mosaics", "Mosaics", blocks)


def seams(
    archive: Archive, infos: Sequence[MosaicInfo], particles: Particles, figures: FigureFolder
) -> Section:
    """Tell how many particles cross seams between tiles, and how sure their merging was."""
    summaries = segmentations(archive)
    crossing = {
        info.name: int(particles.crosses_seam[particles.rows_of(info.name)].sum()) for info in infos
    }
    if not len(particles):
        return Section("seams", "Seams", [Text("Nothing was segmented yet.")])
    rows = []
    for info in infos:
        summary = summaries.get(info.name, {})
        known = [summary.get(key) for key in ("links", "uncertain")]
        gaps = summary.get("gaps")
        rows.append(
            [
                info.name,
                str(len(particles.rows_of(info.name))),
                str(crossing[info.name]),
                *("-" if value is None else str(value) for value in known),
                "-" if gaps is None else str(len(gaps)),
            ]
        )
    rows.sort(key=lambda row: (-int(row[2]), row[0]))
    blocks: list[Block] = []
    if crossing and max(crossing.values()):
        name = max(crossing, key=lambda name: (crossing[name], name))
        info = next(info for info in infos if info.name == name)
        own = particles.rows_of(name)
        figure = seam_map(
            info.shape,
            particles.centroid_yx[own],
            particles.crosses_seam[own],
            core_px=_core_px(archive, name),
        )
        alt = f"Map of {name}: {crossing[name]} of {len(own)} particles cross a seam"
        blocks.append(figures.add("seams", figure, alt))
    else:
        blocks.append(Text("No particle crosses a seam between tiles."))
    head = ["mosaic", "particles", "across seams", "links", "uncertain merges", "missing tiles"]
    shown = _capped(rows)
    blocks.append(
        Table("Seams, most crossed first", head, shown, is_folded=len(shown) > FOLD_FROM_N)
    )
    blocks.append(
        Text(
            "Every particle is one instance, whatever tiles it lies in. Links join the pieces of "
            "a particle across a seam; a merge is uncertain where two particles in touch were "
            "nearly one, or one nearly two."
        )
    )
    return Section("seams", "Seams", blocks)


def segmentations(archive: Archive) -> Mapping[str, Mapping[str, Any]]:
    """Return what the newest segmentation of each mosaic says of itself."""
    entries = read_entries(archive, "segment", status="done", unit=WHOLE).values()
    return {entry.mosaic: json.loads(entry.result) for entry in entries}


def _table(
    infos: Sequence[MosaicInfo],
    particles: Particles,
    inputs: ReportInputs,
) -> Table:
    has_predictions = is_known(particles.predicted).any()
    head = ["mosaic", "size (px)", "pixel (nm)", "particles", "median diameter"]
    if has_predictions:
        target, others = target_class(particles)
        head.append(f"predicted {target}")
    head.append("F1")
    rows = []
    for info in infos:
        own = particles.rows_of(info.name)
        role = " (held out)" if info.name in inputs.held_out else ""
        row = [info.name + role, f"{info.shape[0]} x {info.shape[1]}", number(info.pixel_size_nm)]
        row += [str(len(own)), _median(particles, own)]
        if has_predictions:
            share, low, high = share_of(particles.predicted[own], target, others)
            between = "" if np.isnan(share) else f" ({100 * low:.1f} to {100 * high:.1f})"
            row.append(percent(share) + between)
        found = inputs.scores.get(info.name)
        row.append(score(found.at_50.f1 if found else None))
        rows.append(row)
    return Table("What was found", head, _capped(rows), is_folded=len(rows) > FOLD_FROM_N)


def _median(particles: Particles, rows: np.ndarray[Any, Any]) -> str:
    if not len(rows):
        return "-"
    nm = particles.diameter_nm[rows]
    if np.isfinite(nm).all():
        return number(float(np.median(nm)), "nm")
    return number(float(np.median(particles.diameter_px[rows])), "px")


def _capped(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Keep a table of thousands of rows readable."""
    if len(rows) <= ROWS_N:
        return list(rows)
    rest = f"and {len(rows) - ROWS_N} more"
    return [*rows[:ROWS_N], [rest, *[""] * (len(rows[0]) - 1)]]


def _core_px(archive: Archive, name: str) -> int | None:
    """Return the edge of the tiles that wrote a mosaic's instances: each wrote whole shards."""
    path = archive.mosaic(name)
    if not has_instances(path):
        return None
    array = open_instances(path).level(0)
    shards = array.shards or array.chunks
    return int(shards[0]) if shards[0] < max(open_mosaic(path).info.shape) else None
