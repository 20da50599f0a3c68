"""The report of a night: what was new, who is champion and why, and how the population drifts."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.archive import Archive
from pipelines.evaluation.trend_figures import TrendPoint, trends
from services.label_store import find_version, read_labels
from services.nightly.drift import Z_LIMIT, to_spreads
from services.nightly.journal import Journal
from services.nightly.plans import Plan
from services.nightly.population import past_nights
from services.report.blocks import (
    FOLD_FROM_N,
    ROWS_N,
    Block,
    Section,
    Table,
    Text,
    Tile,
    count,
    number,
    percent,
)
from services.report.build import write_page
from services.report.embedding import FigureFolder
from services.report.night_models import defects_section, learning_section, segmenter_section
from services.report.provenance import quarantine
from services.versions import code_version, library_versions


def write_night_report(
    archive: Archive, journal: Journal, plan: Plan | None, *, notes: Sequence[str] = ()
) -> Path:
    """Write what a night did, as far as it came, as ``reports/night-RUN.html``.

    Parameters
    ----------
    archive : Archive
        Tables and quarantine.
    journal : Journal
        The night.
    plan : Plan or None
        What it set out to do; None where it failed before it knew.
    notes : sequence of str
        What a reader should know before anything else, such as why the night failed.
    """
    name = f"night-{journal.run_id}"
    figures = FigureFolder(archive.reports / name)
    sections = [
        _changes(plan),
        segmenter_section(journal, figures),
        defects_section(journal),
        learning_section(journal, plan, figures),
        _labels(archive, journal),
        _drift(archive, journal, figures),
        quarantine(archive),
        _steps(journal),
        _reproduce(archive, journal, plan),
    ]
    return write_page(
        archive,
        name,
        title=f"Night {journal.run_id}",
        finished=datetime.now(UTC),
        run_id=journal.run_id,
        notes=[*notes, *_remarks(journal)],
        legend=None,
        tiles=_headline(journal, plan),
        sections=[section for section in sections if section is not None],
    )


def _headline(journal: Journal, plan: Plan | None) -> list[Tile]:
    n_changes = len(plan.changes) if plan else 0
    tiles = [Tile("changes", str(n_changes), "since the last night")]
    if journal.values("ingest"):
        new = len(journal.values("ingest")["new"])
        tiles.append(Tile("new mosaics", str(new)))
    if labelled := journal.values("clean"):
        tiles.append(Tile("label version", str(labelled["version"])))
    if promoted := journal.values("promote"):
        what = "promoted tonight" if promoted["promoted"] else "as before"
        tiles.append(Tile("champion", promoted["champion"].removeprefix("models:/") or "-", what))
    if journal.values("population"):
        drifted = journal.values("population")["flagged"]
        tiles.append(Tile("drifted measures", str(len(drifted)), ", ".join(drifted)))
    return tiles


def _remarks(journal: Journal) -> list[str]:
    """Say what a reader must not miss."""
    remarks = []
    if (verdict := journal.values("segmenter")) and verdict["candidate"]:
        remarks.append(f"Segmenter: {verdict['why']}.")
    if verdict := journal.values("judge"):
        remarks.append(f"Candidate: {verdict['why']}.")
    for step in ("predict_anew", "judge"):
        if unfit := journal.values(step).get("unfit"):
            remarks.append(
                f"A model does not fit the pixel sizes or classes of {', '.join(unfit)}: "
                f"{'not classified' if step == 'predict_anew' else 'not used to judge'}."
            )
            break
    if flagged := journal.values("population").get("flagged"):
        remarks.append(f"The population has drifted: {', '.join(flagged)}.")
    return remarks


def _changes(plan: Plan | None) -> Section:
    changes = plan.changes if plan else ()
    if not changes:
        return Section("changes", "What was new", [Text("Nothing." if plan else "Not known.")])
    rows = [[change.kind, change.what, change.how] for change in changes[:ROWS_N]]
    head = ["kind", "which", "how"]
    folded = len(rows) > FOLD_FROM_N
    title = f"{count(len(changes), 'change')} since the last night"
    return Section("changes", "What was new", [Table(title, head, rows, 3, is_folded=folded)])


def _labels(archive: Archive, journal: Journal) -> Section | None:
    """Count the labels by state, before and after cleaning."""
    labelled, cleaned = journal.values("label"), journal.values("clean")
    if not cleaned or cleaned["version"] is None:
        return None
    versions = dict.fromkeys([labelled["version"], cleaned["version"]])
    counts = {v: Counter(_states(archive, v)) for v in versions}
    states = sorted({state for counted in counts.values() for state in counted})
    rows = [[state, *(f"{counts[v][state]:,}" for v in versions)] for state in states]
    head = ["state", *(f"version {v}" for v in versions)]
    blocks: list[Block] = [Table("Labels by state", head, rows)]
    if not cleaned["cleaned"]:
        blocks.append(Text(f"Not cleaned tonight: {cleaned['why']}."))
    elif "error_rate" in cleaned:
        blocks.append(Text(f"Wrong labels, estimated: {percent(cleaned['error_rate'])}."))
    version = find_version(archive, cleaned["version"])
    blocks.append(Text(f"Digest of version {version.version}: {version.digest}."))
    return Section("labels", "Labels", blocks)


def _states(archive: Archive, version: int) -> list[str]:
    states: list[str] = read_labels(archive, version, with_unlabelled=True)["state"].to_pylist()
    return states


def _drift(archive: Archive, journal: Journal, figures: FigureFolder) -> Section | None:
    """Chart the population over the nights, and say what has drifted."""
    found = journal.values("population")
    if not found or not found["spreads"]:
        return None
    history = past_nights(archive, but=journal.run_id)
    tonight = to_spreads(found["spreads"])
    flagged = frozenset(found["flagged"])
    measures: dict[str, list[TrendPoint]] = {measure: [] for measure in tonight}
    for night, spreads, marks in [
        *((past.run_id, past.spreads, past.flagged) for past in history),
        (journal.run_id, tonight, flagged),
    ]:
        for measure, points in measures.items():
            spread = spreads.get(measure)
            if spread is not None and spread.n:
                points.append(
                    TrendPoint(night, spread.low, spread.middle, spread.high, measure in marks)
                )
    drawn = {measure: points for measure, points in measures.items() if points}
    rows = [
        [
            d["measure"],
            _number(tonight[d["measure"]].middle),
            _number(d["psi"]),
            _number(d["psi_limit"]),
            _number(d["z"]),
            "drifted" if d["flagged"] else "",
        ]
        for d in found["drifts"]
    ]
    head = ["measure", "tonight", "stability index", "its limit", "robust z", ""]
    return Section(
        "drift",
        "Population over the nights",
        [
            figures.add("drift", trends(drawn), "Measures of the population, night by night"),
            Table("Tonight against earlier nights", head, rows),
            Text(
                "Bars are quartiles of particles, or one standard error of a share. The "
                "population stability index compares tonight's values with those of earlier "
                "nights together; its limit is 0.25, or what chance exceeds once in a thousand "
                f"nights if that is more. A robust z beyond {Z_LIMIT:g} is flagged too. Confidence "
                "and shares are what the champion of the time said when the particles came."
            ),
        ],
    )


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3g}"


def _steps(journal: Journal) -> Section | None:
    if not journal.steps:
        return None
    rows = [
        [step.name, _told(step.values), step.at, number(step.seconds, "s")]
        for step in journal.steps
    ]
    head = ["step", "result", "finished", "time"]
    attempts = count(journal.attempts, "start")
    return Section("steps", "Steps", [Table(f"Steps, in {attempts}", head, rows, 3)])


def _told(values: Mapping[str, Any]) -> str:
    """Write what a step gave back in one line."""
    plain = {k: v for k, v in values.items() if isinstance(v, int | float | str) and v != ""}
    text = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items()
    )
    return text if len(text) < 300 else f"{text[:300]} ..."


def _reproduce(archive: Archive, journal: Journal, plan: Plan | None) -> Section:
    facts = {
        "run": journal.run_id,
        "archive": str(archive.root),
        "journal": f"nights/{journal.run_id}.json",
        "code version": code_version(),
        "labels before": (plan.now.labels if plan else "") or "none",
        "digest of the step's results": json.dumps({s.name: s.output[:8] for s in journal.steps}),
    }
    libraries = [[name, text] for name, text in library_versions().items()]
    return Section(
        "reproduce",
        "How this came about",
        [
            Table("Identity", ["what", "value"], [list(fact) for fact in facts.items()], 2),
            Table("Libraries", ["library", "version"], libraries, 2, is_folded=True),
        ],
    )
