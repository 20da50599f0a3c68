"""What mirror images tell in a sweep's report: gaps, controls without a hand, populations."""

from typing import Any

import numpy as np

from pipelines.randomness import generator
from pipelines.sweeps.figures import mirror_gap_figure
from pipelines.sweeps.intervals import accuracy_difference
from pipelines.sweeps.trial import PREDICTIONS_FILE
from services.report.blocks import Block, Section, Table, percent
from services.report.embedding import FigureFolder
from services.report.sweep_results import Found


def mirror_sections(found: Found, figures: FigureFolder) -> list[Section]:
    """Draw what mirrors tell: true enantiomers against mirror images, controls, populations."""
    from pipelines.sweeps.panel_figures import population_figure

    if not found.study.has_mirror:
        return []

    def gap(method: str, rate: float) -> Any:
        return accuracy_difference(
            found.correct(method, rate),
            found.correct(method, rate, mirrored=True),
            rng=generator(0, "gap", method, str(rate)),
        )

    below = [rate for rate in found.rates if rate < 0.5] or found.rates
    gaps = {method: found.curve(method, gap) for method in found.methods}
    blocks: list[Block] = [
        figures.add(
            "mirror-gap",
            mirror_gap_figure(gaps),
            "Accuracy on true enantiomers minus accuracy on mirror images",
        )
    ]
    controls = [row for row in found.rows.values() if row.get("achiral_share") is not None]
    if controls:
        rows = []
        for method in found.methods:
            at = [row for row in controls if row["method"] == method]
            inside = sum(abs(r["achiral_share"] - 0.5) <= r["achiral_two_sd"] for r in at)
            mean = float(np.mean([row["achiral_share"] for row in at])) if at else None
            rows.append([method, percent(mean), f"{inside} of {len(at)}"])
        blocks.append(
            Table(
                "Particles without a hand told from their mirror images: half is chance",
                ["", "told right", "trials within two standard deviations"],
                rows,
            )
        )
    if found.study.classes == ["left", "right"]:
        rate = max((r for r in below), key=lambda r: (r <= 0.4, r))
        recalls = {
            method: _recalls(found, method, rate)
            for method in found.methods
            if found.keys(method, rate)
        }
        figure = population_figure(recalls, title=f"{percent(rate)} wrong labels")
        said = f"Measured against true share of left-handed particles, at {percent(rate)}"
        blocks.append(figures.add("population", figure, said))
    return [Section("mirrors", "Mirrors and populations", blocks)]


def _recalls(found: Found, method: str, rate: float) -> Any:
    """Average the recalls of both hands over seeds."""
    from pipelines.sweeps.panel_figures import Recalls

    correct = found.correct(method, rate).mean(axis=0)
    with np.load(found.folder / found.keys(method, rate)[0] / PREDICTIONS_FILE) as stored:
        is_left = stored["true_labels"] == found.study.classes.index("left")
    n_left = int(is_left.sum())
    return Recalls(
        float(correct[is_left].mean()),
        float(correct[~is_left].mean()),
        n_left,
        len(is_left) - n_left,
    )
