"""The report's models: how they learnt, and how right they and the instances are."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.classification import confusion_matrix, mean_interval
from pipelines.evaluation.figures import confusion, curve_panels, reliability, training_curves
from pipelines.evaluation.population import class_ratio
from pipelines.randomness import generator
from pipelines.segmentation.scoring import MosaicScore
from services.assessment import ACHIRAL
from services.report.blocks import (
    FOLD_FROM_N,
    ROWS_N,
    Block,
    Interval,
    Section,
    Table,
    Text,
    percent,
    percent_between,
    score,
)
from services.report.embedding import FigureFolder
from services.report.inputs import ReportInputs
from services.report.particles import Bools, Particles, Strings, is_known


def training(inputs: ReportInputs, figures: FigureFolder) -> Section:
    """Draw the training curves and name the model."""
    blocks: list[Block] = []
    if panels := curve_panels(inputs.history):
        last = inputs.history[-1]
        columns = [name for names in panels.values() for name in names if name in last]
        ends = [f"{name.replace('_', ' ')} {last[name]:.3g}" for name in columns]
        alt = f"Training curves over {len(inputs.history)} epochs; at the end: {', '.join(ends)}"
        blocks.append(figures.add("training", training_curves(inputs.history), alt))
        if "share of wrong labels" in panels:
            blocks.append(
                Text(
                    "Of the training particles whose given label is wrong: the share that the "
                    "model takes for what they are (seen through), and for what their label says "
                    "(memorised)."
                )
            )
    if inputs.model:
        blocks.append(Table("Model", ["property", "value"], list(inputs.model.items()), 2))
    if not blocks:
        blocks = [Text("No model was trained in this run.")]
    return Section("training", "Training", blocks)


def against_truth(particles: Particles, figures: FigureFolder, inputs: ReportInputs) -> Section:
    """Compare instances and predictions with the truth, where there is truth."""
    blocks: list[Block] = []
    if inputs.scores:
        blocks.extend(score_table(inputs.scores))
    chosen, classes = scored(particles)
    if chosen.any():
        true = _indices(particles.true[chosen], classes)
        predicted = _indices(particles.predicted[chosen], classes)
        matrix = confusion_matrix(true, predicted, n_classes=len(classes))
        share, low, high = accuracy_interval(particles, chosen, inputs.seed)
        whose = "test particles" if inputs.has_test else "particles"
        said = f"Accuracy {percent(share)} ({percent_between(low, high)}) on {chosen.sum()} {whose}"
        if not inputs.has_test:
            said += "; the model may have been trained on some of them, so this is optimistic"
        blocks.append(Text(f"{said}. Particles of no class of the model's are left out."))
        alt = f"Confusion matrix of {whose}. {said}"
        blocks.append(figures.add("confusion", confusion(matrix, classes), alt))
        columns = [particles.classes.index(name) for name in classes]
        figure = reliability(particles.probabilities[chosen][:, columns], true)
        alt = "Reliability diagram: the share of right predictions over their confidence"
        blocks.append(figures.add("reliability", figure, alt))
    if control := achiral_control(particles):
        blocks.append(control)
    if not blocks:
        blocks = [Text("No mosaic has known truth, so nothing here could be scored.")]
    return Section("truth", "Against the truth", blocks)


def score_table(scores: Mapping[str, MosaicScore]) -> list[Block]:
    """List how well instances agree with the truth, the worst mosaics first."""
    # A mosaic without a particle, found or true, has no F1; it stands at the end.
    worst_first = sorted(
        scores.items(), key=lambda item: (np.nan_to_num(item[1].at_50.f1, nan=2.0), item[0])
    )
    rows = []
    for name, found in worst_first:
        at = found.at_50
        shares = (at.f1, at.precision, at.recall, found.at_75.f1, at.mean_matched_iou)
        counts = (at.n_truth, at.n_found, at.n_split, at.n_merged)
        rows.append([name, *map(score, shares), *map(str, counts)])
    head = ["mosaic", "F1", "precision", "recall", "F1 at 0.75", "mean IoU"]
    head += ["true", "found", "split", "merged"]
    caption = "Instances against the truth, at IoU 0.5 unless said"
    table = Table(caption, head, rows[:ROWS_N], is_folded=len(rows) > FOLD_FROM_N)
    if len(rows) <= FOLD_FROM_N:
        return [table]
    known = [found.at_50.f1 for found in scores.values() if not math.isnan(found.at_50.f1)]
    median = float(np.median(known)) if known else math.nan
    name, lowest, *_ = rows[0]
    said = f"F1 of {len(known)} mosaics: median {score(median)}, lowest {lowest} ({name})."
    return [Text(said), table]


def scored(particles: Particles) -> tuple[Bools, list[str]]:
    """Choose the test particles whose truth is a class of the model, and name the classes."""
    classes = particles.order(particles.classes)
    in_classes = np.fromiter((label in classes for label in particles.true), bool, len(particles))
    return particles.is_test & in_classes & is_known(particles.predicted), classes


def achiral_control(particles: Particles) -> Text | None:
    """Say how particles without a hand are predicted: evenly, if nothing but the hand is seen."""
    if ACHIRAL in particles.classes or not {"right", "left"} <= set(particles.classes):
        return None
    said = particles.predicted[particles.is_held_out & (particles.true == ACHIRAL)]
    ratio = class_ratio(int((said == "right").sum()), int(is_known(said).sum()))
    if not ratio.n_total:
        return None
    between = percent_between(ratio.low, ratio.high)
    return Text(
        f"Control: of {ratio.n_total} test particles without a hand, {percent(ratio.ratio)} "
        f"({between}) are predicted right. A model that sees nothing but the hand says 50 %, "
        f"within {100 / math.sqrt(ratio.n_total):.1f} points (two standard deviations)."
    )


def accuracy_interval(particles: Particles, chosen: Bools, seed: int) -> Interval:
    """Return the share of right predictions with its interval over particles."""
    right = particles.predicted[chosen] == particles.true[chosen]
    rng = generator(seed, "accuracy")
    low, high = mean_interval(right, particles.ids[chosen], rng=rng)
    return float(right.mean()), low, high


def _indices(labels: Strings, classes: Sequence[str]) -> NDArray[np.int64]:
    return np.array([classes.index(label) for label in labels], dtype=np.int64)
