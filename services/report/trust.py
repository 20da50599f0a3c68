"""The page that goes with a sheet of particles to check: their crops, numbered."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.archive import Archive
from services.report.blocks import Section, Text, Tile
from services.report.build import write_page
from services.report.embedding import FigureFolder
from services.report.images import draw_gallery
from services.report.inputs import ReportInputs
from services.report.particles import read_particles
from services.trust.sampling import Sample

#: Crops in one gallery.
PER_GALLERY_N = 48


def write_trust_page(archive: Archive, sample: Sample, sheet: Path) -> Path:
    """Write ``reports/check-SHEET.html``: the crop of every line of a sheet, by its number."""
    name = f"check-{sheet.stem}"
    figures = FigureFolder(archive.reports / name)
    particles = read_particles(archive, ReportInputs())
    places = np.searchsorted(particles.ids, sample.rows["particle_id"].to_numpy())
    numbers = np.arange(1, len(places) + 1)
    galleries = []
    for start in range(0, len(places), PER_GALLERY_N):
        part = slice(start, start + PER_GALLERY_N)
        title = f"lines {numbers[part][0]} to {numbers[part][-1]}"
        captions = [[str(number)] for number in numbers[part]]
        galleries.append(
            draw_gallery(
                archive, particles, places[part], captions, title, figures, f"lines-{start}"
            )
        )
    text = (
        f"Fill in the column label of {sheet.name}: a class, undeterminable where the image does "
        "not show it, or nothing where you did not look. Given labels are not shown on purpose. "
        f"Then: tessera trust import {sheet.name} --archive ARCHIVE."
    )
    return write_page(
        archive,
        name,
        title=f"Particles to check: {sheet.name}",
        finished=datetime.now(UTC),
        run_id="",
        notes=[],
        legend=None,
        tiles=[Tile("particles", str(len(places)), f"of {sample.n_strata} kinds")],
        sections=[Section("crops", "Particles by line", [Text(text), *galleries])],
    )
