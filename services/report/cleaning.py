"""The report of a cleaning: what was found, how much to believe of it, and what it changes."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.archive import Archive
from pipelines.evaluation.figures import population_ratio
from pipelines.labels.table import ACCEPTED, FLAGGED, PROPOSED, REJECTED, UNDETERMINABLE
from pipelines.training.samples import UNKNOWN
from services.cleaning.judging import Cleaning
from services.label_store import LabelVersion
from services.report.blocks import (
    Block,
    Code,
    Section,
    Table,
    Text,
    Tile,
    number,
    percent,
    percent_between,
)
from services.report.build import write_page
from services.report.cleaning_trust import estimated_noise, trust, truth_scores
from services.report.embedding import FigureFolder
from services.report.images import draw_gallery
from services.report.inputs import ReportInputs
from services.report.particles import Particles, read_particles
from services.report.provenance import to_toml
from services.versions import code_version, library_versions

#: Particles in a gallery.
GALLERY_N = 24


def write_cleaning_report(
    archive: Archive,
    cleaning: Cleaning,
    *,
    cleaned: LabelVersion,
    made: LabelVersion,
    settings: Mapping[str, Any],
    run_id: str,
    notes: Sequence[str] = (),
) -> Path:
    """Write what a cleaning found as ``reports/clean-RUN.html``.

    Parameters
    ----------
    archive : Archive
        Mosaics and tables.
    cleaning : Cleaning
        What was found and decided.
    cleaned, made : LabelVersion
        The labels that were cleaned, and those that came of it.
    settings : mapping
        All settings, JSON-like.
    run_id : str
        Names the run and the file.
    notes : sequence of str
        What a reader should know before believing anything.
    """
    name = f"clean-{run_id}"
    figures = FigureFolder(archive.reports / name)
    particles = read_particles(archive, ReportInputs(label_version=cleaned.version))
    sections = [
        found(archive, cleaning, particles, figures),
        estimated_noise(cleaning),
        trust(cleaning),
        population(cleaning, figures),
        reproduce(archive, cleaned, made, settings, run_id),
    ]
    return write_page(
        archive,
        name,
        title=f"Cleaned labels: version {cleaned.version} to {made.version}",
        finished=datetime.now(UTC),
        run_id=run_id,
        notes=notes,
        legend=None,
        tiles=headline(cleaning),
        sections=sections,
    )


def headline(cleaning: Cleaning) -> list[Tile]:
    """Choose the numbers that stand on top."""
    noise, n = cleaning.issues.noise, len(cleaning.given_labels)
    between = percent_between(*noise.error_rate_interval)
    tiles = [
        Tile("labels judged", f"{n:,}", f"{cleaning.issues.flagged.sum():,} flagged"),
        Tile("wrong labels, estimated", percent(noise.error_rate), between),
        Tile("proposed for review", f"{cleaning.count(PROPOSED):,}"),
        Tile("accepted", f"{cleaning.count(ACCEPTED):,}", "by audit"),
        Tile("undeterminable", f"{cleaning.count(UNDETERMINABLE):,}"),
    ]
    if scores := truth_scores(cleaning):
        for title in ("precision", "recall"):
            share, low, high = scores[title]
            tiles.append(Tile(title, percent(share), percent_between(low, high)))
    elif not math.isnan(cleaning.canaries.recall):
        tiles.append(Tile("recall, by canaries", percent(cleaning.canaries.recall)))
    return tiles


def found(
    archive: Archive, cleaning: Cleaning, particles: Particles, figures: FigureFolder
) -> Section:
    """Show what was found: the surest proposals, the least sure ones, the undeterminable."""
    ranking, states = cleaning.issues.ranking, cleaning.states
    changed = ranking[np.isin(states[ranking], [PROPOSED, ACCEPTED])]
    groups = {
        "the surest proposals": changed[:GALLERY_N],
        "the least sure proposals": changed[GALLERY_N:][-GALLERY_N:],
        "undeterminable": ranking[states[ranking] == UNDETERMINABLE][:GALLERY_N],
    }
    blocks: list[Block] = []
    for place, (title, rows) in enumerate(groups.items()):
        if len(rows):
            shown = np.searchsorted(particles.ids, cleaning.rows["particle_id"].to_numpy()[rows])
            captions = [_caption(cleaning, int(row)) for row in rows]
            file = f"found-{place}"
            blocks.append(draw_gallery(archive, particles, shown, captions, title, figures, file))
    if not blocks:
        blocks = [Text("Nothing speaks against any of the labels.")]
    blocks.append(_flags_by_label(cleaning))
    return Section("found", "Labels found wrong", blocks)


def population(cleaning: Cleaning, figures: FigureFolder) -> Section:
    """Tell how the shares of the classes change."""
    names = list(cleaning.classes)
    target = names.index("right") if "right" in names else 0
    estimates = {
        name: values
        for name, values in cleaning.population(target).items()
        if not math.isnan(values[0])
    }
    of = f"{names[target]} among {' and '.join(names)}"
    alt = "; ".join(
        f"{name} {percent(share)} ({percent_between(low, high)})"
        for name, (share, low, high) in estimates.items()
    )
    figure = population_ratio(estimates, of=of)
    rows = []
    for index, name in enumerate(names):
        shares = cleaning.population(index).values()
        rows.append([name, *(percent(share) for share, _, _ in shares)])
    head = ["class", *cleaning.population(0)]
    return Section(
        "population",
        "Population before and after",
        [
            figures.add("population", figure, f"Share of {of}: {alt}"),
            Table("Shares of the classes", head, rows),
            Text(
                "After: every proposal taken, undeterminable labels left out. Intervals take "
                "particles as independent, and do not contain errors of the labels."
            ),
        ],
    )


def reproduce(
    archive: Archive,
    cleaned: LabelVersion,
    made: LabelVersion,
    settings: Mapping[str, Any],
    run_id: str,
) -> Section:
    """Write down what is needed to make the result again."""
    facts = {
        "run": run_id,
        "archive": str(archive.root),
        "code version": code_version(),
        "cleaned labels": f"version {cleaned.version}, digest {cleaned.digest}",
        "made labels": f"version {made.version}, digest {made.digest}",
        "parent": f"version {made.parent_version}",
    }
    libraries = [[name, text] for name, text in library_versions().items()]
    return Section(
        "reproduce",
        "How to make this again",
        [
            Table("Identity", ["what", "value"], [list(fact) for fact in facts.items()], 2),
            Code("All settings, as a file for --settings", to_toml({"clean": settings}), True),
            Table("Libraries", ["library", "version"], libraries, 2, is_folded=True),
        ],
    )


def _flags_by_label(cleaning: Cleaning) -> Table:
    """Count by given label, so that flags that fall on one class alone are seen."""
    rows = []
    states = {
        PROPOSED: "proposed",
        ACCEPTED: "accepted",
        UNDETERMINABLE: "undeterminable",
        FLAGGED: "without proposal",
        REJECTED: "kept by a person",
    }
    for label, name in enumerate(cleaning.classes):
        own = cleaning.given_labels == label
        counts = [str((cleaning.states[own] == state).sum()) for state in states]
        share = cleaning.issues.flagged[own].mean() if own.any() else math.nan
        rows.append([name, number(int(own.sum())), percent(float(share)), *counts])
    head = ["given label", "labels", "flagged", *states.values()]
    return Table("Labels by class", head, rows)


def _caption(cleaning: Cleaning, row: int) -> list[str]:
    names, given = cleaning.classes, cleaning.given_labels[row]
    likeliest = cleaning.issues.proposed_labels[row]
    to = "?" if cleaning.states[row] == UNDETERMINABLE else names[likeliest]
    lines = [f"{names[given]} → {to}", f"{cleaning.pred_probs[row, likeliest]:.2f}"]
    if cleaning.true_labels[row] != UNKNOWN:
        lines.append(f"truth {names[cleaning.true_labels[row]]}")
    return lines
