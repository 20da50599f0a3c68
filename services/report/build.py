"""Write the report of an archive: one HTML page without any request to the outside."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import numpy as np

from pipelines.archive import Archive, write_text
from pipelines.evaluation.drawing import NO_LABEL, class_colours
from pipelines.evaluation.figures import median_interval
from pipelines.mosaic.ome_zarr import MosaicInfo, open_mosaic
from pipelines.quarantine import list_quarantine
from services.label_store import current_version, find_version
from services.report import learning, places, population, provenance, results
from services.report.blocks import Section, Tile, count, number, percent, percent_between, score
from services.report.embedding import FigureFolder
from services.report.inputs import ReportInputs
from services.report.particles import Particles, is_known, read_particles

_TIME = "%Y-%m-%d %H:%M UTC"


def write_report(archive: Archive, inputs: ReportInputs, *, name: str | None = None) -> Path:
    """Write what was found in an archive as ``reports/NAME.html``.

    Figures are inside the page, and beside it as PNG files in ``reports/NAME/``.

    Parameters
    ----------
    archive : Archive
        Mosaics and tables.
    inputs : ReportInputs
        What the run knows of itself.
    name : str, optional
        Name of the file; ``report-`` and the run's id, or the time, by default.

    Returns
    -------
    path : Path
        The page. A report of the same name is replaced.
    """
    finished = inputs.finished or datetime.now(UTC)
    name = name or f"report-{inputs.run_id or finished.strftime('%Y%m%dT%H%M%S')}"
    figures = FigureFolder(archive.reports / name)
    infos = [open_mosaic(archive.mosaic(mosaic)).info for mosaic in archive.mosaic_names()]
    particles = read_particles(archive, inputs)
    return write_page(
        archive,
        name,
        title=inputs.title,
        finished=finished,
        run_id=inputs.run_id,
        notes=inputs.notes,
        legend=_legend(particles),
        tiles=headline(archive, infos, particles, inputs),
        sections=_sections(archive, infos, particles, figures, inputs),
    )


def write_page(
    archive: Archive,
    name: str,
    *,
    title: str,
    finished: datetime,
    run_id: str,
    notes: Sequence[str],
    legend: Mapping[str, str] | None,
    tiles: Sequence[Tile],
    sections: Sequence[Section],
) -> Path:
    """Write ``reports/NAME.html`` from what it is made of, and return its path.

    ``legend`` says which outline has which colour; None for a page without outlines.
    """
    page = (
        _environment()
        .get_template("report.html")
        .render(
            title=title,
            finished=finished.astimezone(UTC).strftime(_TIME),
            run_id=run_id,
            notes=notes,
            legend=legend,
            tiles=tiles,
            sections=sections,
        )
    )
    archive.reports.mkdir(exist_ok=True)
    path = archive.reports / f"{name}.html"
    write_text(path, page)
    return path


def headline(
    archive: Archive, infos: Sequence[MosaicInfo], particles: Particles, inputs: ReportInputs
) -> list[Tile]:
    """Choose the numbers that stand on top."""
    tiles = [Tile("particles", f"{len(particles):,}", f"in {count(len(infos), 'mosaic')}")]
    whole = particles.diameter_nm[~particles.touches_edge & np.isfinite(particles.diameter_nm)]
    if whole.size:
        median, low, high = median_interval(whole)
        between = f"{low:.3g} to {high:.3g} nm"
        tiles.append(Tile("median diameter", number(median, "nm"), between))
    if is_known(particles.predicted).any():
        target, others = population.target_class(particles)
        share, low, high = population.share_of(particles.predicted, target, others)
        if np.isfinite(share):
            tiles.append(Tile(f"predicted {target}", percent(share), percent_between(low, high)))
    chosen, _ = learning.scored(particles)
    if chosen.any():
        share, low, high = learning.accuracy_interval(particles, chosen, inputs.seed)
        title = "test accuracy" if inputs.has_test else "accuracy"
        tiles.append(Tile(title, percent(share), percent_between(low, high)))
    if inputs.scores:
        scores = [found.at_50 for found in inputs.scores.values()]
        matched = 2 * sum(at.n_matched for at in scores)
        counted = sum(at.n_truth + at.n_found for at in scores)
        value = score(matched / counted if counted else None)
        tiles.append(Tile("instance F1", value, f"IoU 0.5, {count(len(scores), 'mosaic')}"))
    tiles += [Tile(title, value) for title, value in inputs.headline.items()]
    if cases := len(list_quarantine(archive)):
        tiles.append(Tile("in quarantine", str(cases), "files or tiles"))
    return tiles


def _sections(
    archive: Archive,
    infos: Sequence[MosaicInfo],
    particles: Particles,
    figures: FigureFolder,
    inputs: ReportInputs,
) -> list[Section]:
    if inputs.label_version is None:
        version = current_version(archive)
    else:
        version = find_version(archive, inputs.label_version)
    sections = [
        places.mosaics(archive, infos, particles, figures, inputs),
        results.sizes(particles, figures),
        results.galleries(archive, particles, figures, seed=inputs.seed),
        population.population(particles, figures, inputs),
        provenance.rules(version),
        learning.training(inputs, figures),
        learning.against_truth(particles, figures, inputs),
        results.uncertain(archive, particles, figures),
        places.seams(archive, infos, particles, figures),
        provenance.quarantine(archive),
        provenance.steps(inputs),
        provenance.reproduce(archive, infos, particles, version, inputs),
    ]
    return [section for section in sections if section is not None]


def _legend(particles: Particles) -> dict[str, str]:
    """Say which outline has which colour; nothing where all have one."""
    labels = particles.best_label
    names = particles.names(labels)
    if names and not is_known(labels).all():
        names.append(NO_LABEL)
    return class_colours(names)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
