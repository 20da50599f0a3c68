"""The report of a sweep: how the noisy set is made, who bears how much, and what was learnt."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.archive import Archive
from pipelines.randomness import generator
from pipelines.schemas import TRIALS
from pipelines.sweeps.figures import accuracy_figure, kept_precision_figure
from pipelines.sweeps.intervals import Curve, accuracy_difference
from pipelines.sweeps.plan import SweepPlan, Variant
from pipelines.sweeps.study_set import LEARN, StudySet
from services.report.blocks import (
    Block,
    Section,
    Table,
    Text,
    Tile,
    count,
    percent,
    percent_between,
)
from services.report.build import write_page
from services.report.embedding import FigureFolder
from services.report.sweep_mirrors import mirror_sections
from services.report.sweep_results import Found

if TYPE_CHECKING:
    from services.sweeping.results import Recorder

#: Particles that show how labels are made wrong.
_SHOWN = 6
#: The best accuracies that were published for this task, by error rate, in per cent.
PUBLISHED = {20: 95.1, 30: 90.1, 40: 88.2, 46: 73.4}


def write_sweep_report(
    archive: Archive,
    title: str,
    plan: SweepPlan,
    study: StudySet,
    recorder: "Recorder",
    folder: Path,
) -> Path:
    """Write ``reports/sweep-NAME.html``, and its table as CSV beside the figures.

    Parameters
    ----------
    archive : Archive
        Where reports go.
    title : str
        The sweep's title.
    plan, study, recorder
        What was done, with which particles, and what came of it.
    folder : Path
        Holds a folder per trial, with its predictions and history.

    Returns
    -------
    path : Path
        The page.
    """
    name = f"sweep-{recorder.name}"
    figures = FigureFolder(archive.reports / name)
    found = Found(plan, study, recorder.rows, folder)
    _write_csv(archive.reports / name / "trials.csv", list(recorder.rows.values()))
    head = recorder.headline()
    return write_page(
        archive,
        name,
        title=title,
        finished=datetime.now(UTC),
        run_id=recorder.name,
        notes=_notes(plan, recorder),
        legend=None,
        tiles=[
            Tile("trials", str(len(recorder.rows)), count(len(plan.seeds), "seed")),
            Tile("test particles", f"{found.n_test:,}"),
            Tile(
                f"best at {percent(head['error_rate'])} wrong labels",
                percent(head["accuracy"]),
                head["best"],
            ),
        ],
        sections=[
            _accuracy(found, figures),
            _making(found, figures),
            _memorising(found, figures),
            *mirror_sections(found, figures),
            _setting(plan, study),
        ],
    )


def _accuracy(found: Found, figures: FigureFolder) -> Section:
    """Draw and list accuracy against error rate."""
    curves = {method: found.curve(method, found.interval) for method in found.methods}
    baseline = "ce" if "ce" in curves else found.methods[0]
    published = None
    if found.study.has_mirror:
        at = [rate for rate in PUBLISHED if rate / 100 in found.rates]
        if at:
            values = np.array([PUBLISHED[rate] / 100 for rate in at])
            none = np.full(len(at), np.nan)
            published = Curve(np.array(at) / 100, values, none, none)
    figure = accuracy_figure(
        curves,
        clean_accuracy=found.clean_accuracy(baseline),
        published=published,
        baseline=baseline,
        chance=1 / len(found.study.classes),
    )
    rows = [
        [method, *(_cell(found, method, rate) for rate in found.rates)] for method in found.methods
    ]
    blocks: list[Block] = [
        figures.add("accuracy", figure, "Accuracy on true labels against the share of wrong ones"),
        Text(
            "Mean over seeds of the last epochs' mean, never of the best epoch; intervals are 95 % "
            "bootstraps over test particles and seeds. The worst seed stands in brackets."
        ),
        Table("Accuracy by share of wrong labels", ["", *map(percent, found.rates)], rows),
    ]
    if len(found.methods) > 1 and baseline in curves:
        blocks.append(_differences(found, baseline))
    return Section("accuracy", "Accuracy against wrong labels", blocks)


def _cell(found: Found, method: str, rate: float) -> str:
    if not found.keys(method, rate):
        return "-"
    value, low, high = found.interval(method, rate)
    worst = min(found.rows[key]["last"] for key in found.keys(method, rate))
    return f"{percent(value)} ({percent_between(low, high)}) [{percent(worst)}]"


def _differences(found: Found, baseline: str) -> Table:
    """List how much better each method is than the baseline, on the same particles."""
    rows = []
    for method in found.methods:
        if method == baseline:
            continue
        cells = []
        for rate in found.rates:
            if not found.keys(method, rate) or not found.keys(baseline, rate):
                cells.append("-")
                continue
            value, low, high = accuracy_difference(
                found.correct(method, rate),
                found.correct(baseline, rate),
                with_seeds=len(found.plan.seeds) > 1,
                rng=generator(0, "difference", method, str(rate)),
            )
            cells.append(f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
        rows.append([method, *cells])
    head = ["", *map(percent, found.rates)]
    return Table(f"Points of accuracy above {baseline}, last models", head, rows)


def _making(found: Found, figures: FigureFolder) -> Section:
    """Show how labels were made wrong."""
    from pipelines.labels.noise import corrupt_labels
    from pipelines.sweeps.noisy_set_figure import noisy_set_figure, worth_showing

    study = found.study
    learn = np.flatnonzero(study.groups == LEARN)[:1000]
    rates = [rate for rate in found.rates if 0 < rate < 0.5][-3:] or found.rates[-1:]
    true = study.true_labels[learn]
    noisy = [
        corrupt_labels(
            true,
            study.particle_ids[learn],
            kind=found.plan.noise,
            error_rate=rate,
            seed=found.plan.seeds[0],
            n_classes=len(study.classes),
            mirrored_class=study.mirrored_class if study.has_mirror else None,
            difficulty=study.difficulty[learn],
            order=study.order[learn],
        )
        for rate in rates
    ]
    shown = worth_showing(noisy, true, n=_SHOWN)
    crops = study.crops(learn).read(np.array(shown)).astype(np.float64)
    low, high = (-1.0, 1.0) if study.has_mirror else (0.0, 1.0)
    grey = (255 * np.clip((crops - low) / (high - low), 0, 1)).astype(np.uint8)
    figure = noisy_set_figure(
        grey,
        shown,
        true,
        noisy,
        classes=study.classes,
        mirrored_class=study.mirrored_class,
    )
    matrices = {row["error_rate"]: row["realised_error_rate"] for row in found.rows.values()}
    rows = [[percent(rate), percent(matrices[rate])] for rate in sorted(matrices)]
    return Section(
        "noise",
        "How labels are made wrong",
        [
            figures.add("noisy-set", figure, "Particles with right and with wrong labels"),
            Table("Share of wrong labels", ["asked for", "realised"], rows),
        ],
    )


def _memorising(found: Found, figures: FigureFolder) -> Section:
    """Draw what becomes of wrong labels, and what is kept."""
    from pipelines.sweeps.panel_figures import memorisation_figure

    rate = found.telling_rate
    histories = found.histories(rate)
    blocks: list[Block] = []
    if any("wrong_labels_memorised" in h[0][0] for h in histories.values()):
        figure = memorisation_figure(histories, error_rate=rate)
        said = f"Wrong labels seen through and memorised, at {percent(rate)} wrong labels"
        blocks.append(figures.add("memorisation", figure, said))
    if any("kept_precision" in points for h in histories.values() for points in h[0]):
        figure = kept_precision_figure(histories, error_rate=rate)
        said = f"Share of right labels among samples that are kept, at {percent(rate)}"
        blocks.append(figures.add("kept", figure, said))
    if not blocks:
        blocks = [Text("No label was wrong, so none could be memorised.")]
    return Section("memorisation", "Memorising", blocks)


def _setting(plan: SweepPlan, study: StudySet) -> Section:
    """Say what was done, for whoever wants to do it again."""
    rows = [
        ["particles to train, select, trust", f"{plan.n_train}, {plan.n_select}, {plan.n_clean}"],
        ["kind of noise", plan.noise],
        ["seeds", ", ".join(map(str, plan.seeds))],
        ["study set", study.digest],
        *([f"loop: {name}", str(value)] for name, value in vars(plan.loop).items()),
        *([f"network: {name}", str(value)] for name, value in vars(plan.network).items()),
        *([f"augmentation: {name}", str(value)] for name, value in plan.augmentation.items()),
        *([f"method {v.label}", f"{v.method} {_what_differs(v)}".strip()] for v in plan.variants),
    ]
    return Section("setting", "Setting", [Table("The same for all methods", ["", ""], rows, 2)])


def _what_differs(variant: Variant) -> str:
    parts = (variant.options, variant.loop, variant.network, variant.augmentation)
    return " ".join(f"{name} = {value}" for part in parts for name, value in part.items())


def _notes(plan: SweepPlan, recorder: "Recorder") -> Sequence[str]:
    n_planned = len(plan.variants) * len(plan.error_rates) * len(plan.seeds)
    notes = []
    if len(plan.seeds) < 5:
        notes.append(f"{count(len(plan.seeds), 'seed')}: too few for a claim")
    if len(recorder.rows) < n_planned:
        notes.append(f"{n_planned - len(recorder.rows)} of {n_planned} trials are missing")
    return notes


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, TRIALS.names)
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda r: (r["method"], r["error_rate"], r["seed"])))
