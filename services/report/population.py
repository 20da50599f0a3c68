"""The report's populations: what was counted, and how much of it belongs to a class."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.evaluation.drawing import NO_LABEL
from pipelines.evaluation.figures import population_ratio
from pipelines.evaluation.population import class_ratio, correct_ratio_by_test
from pipelines.randomness import generator
from services.report.blocks import (
    Block,
    Interval,
    Section,
    Table,
    Text,
    percent,
    percent_between,
)
from services.report.embedding import FigureFolder
from services.report.inputs import ReportInputs
from services.report.particles import Particles, Strings, is_known

#: A truth that is known of a smaller share of the particles is not that of the population.
_TRUTH_SHARE = 0.9
_INDEPENDENT = "Intervals take particles as independent."
_UNCORRECTED = (
    "Predictions are not corrected for the model's errors: that takes test particles of both "
    "classes."
)
_CORRECTED = (
    "The correction uses how often the model is right and wrong on the test particles; it holds "
    "for populations that differ from them in their ratio alone."
)


def population(particles: Particles, figures: FigureFolder, inputs: ReportInputs) -> Section:
    """Count labels, and estimate shares by labels, by predictions, and corrected."""
    columns = {"given labels": particles.given}
    if has_predictions := is_known(particles.predicted).any():
        columns["predictions"] = particles.predicted
    if is_known(particles.true).any():
        columns["truth, where known"] = particles.true
    names = particles.names(np.concatenate(list(columns.values())))
    if not names:
        return Section("population", "Population", [Text("Nothing is labelled or predicted yet.")])
    rows = [[name, *(str((labels == name).sum()) for labels in columns.values())] for name in names]
    rows.append([NO_LABEL, *(str((~is_known(labels)).sum()) for labels in columns.values())])
    blocks: list[Block] = [Table("Particles by class", ["class", *columns], rows)]
    if contradictions := count_contradictions(particles):
        blocks.append(contradictions)
    target, others = target_class(particles)
    if len(others) == 1:
        estimates = ratio_estimates(particles, target, others, seed=inputs.seed)
        truth = share_of(particles.true, target, others)[0]
        of = f"{target} among {target} and {others[0]}"
    else:
        estimates = class_shares(particles, [target, *others])
        truth, of = np.nan, "the class"
    if estimates:
        is_whole = is_known(particles.true).mean() >= _TRUTH_SHARE and np.isfinite(truth)
        figure = population_ratio(estimates, of=of, truth=truth if is_whole else None)
        alt = f"Estimates of the share of {of}: " + "; ".join(
            f"{name} {percent(share)} ({percent_between(low, high)})"
            for name, (share, low, high) in estimates.items()
        )
        blocks.append(figures.add("population", figure, alt))
        remarks = [_INDEPENDENT]
        if has_predictions:
            remarks.append(_CORRECTED if CORRECTED in estimates else _UNCORRECTED)
        blocks.append(Text(" ".join(remarks)))
    return Section("population", "Population", blocks)


def target_class(particles: Particles) -> tuple[str, list[str]]:
    """Choose the class whose share is reported, and the classes it is compared with.

    Right is compared with left alone: particles of neither hand say nothing of the ratio.
    """
    names = particles.names(np.concatenate([particles.given, particles.predicted]))
    names = list(dict.fromkeys([*particles.classes, *names]))
    if {"right", "left"} & set(names):
        return "right", ["left"]
    return names[0], names[1:]


def share_of(labels: Strings, target: str, others: Sequence[str]) -> Interval:
    """Return the share of a class among it and some others, with its interval."""
    n_target = int((labels == target).sum())
    n_others = int(_is_in(labels, others).sum())
    ratio = class_ratio(n_target, n_target + n_others)
    return ratio.ratio, ratio.low, ratio.high


CORRECTED = "predictions, corrected"


def ratio_estimates(
    particles: Particles, target: str, others: Sequence[str], *, seed: int
) -> Mapping[str, Interval]:
    """Estimate the share of a class in every way that the particles allow."""
    predicted, true = particles.predicted, particles.true
    counted = _is_in(predicted, [target, *others])
    is_target = predicted == target
    positive = particles.is_test & counted & (true == target)
    negative = particles.is_test & counted & _is_in(true, others)
    corrected = correct_ratio_by_test(
        n_predicted=int((counted & is_target).sum()),
        n_total=int(counted.sum()),
        n_true_positive=int((positive & is_target).sum()),
        n_positive=int(positive.sum()),
        n_false_positive=int((negative & is_target).sum()),
        n_negative=int(negative.sum()),
        rng=generator(seed, "report", "ratio"),
    )
    estimates = {
        "given labels": share_of(particles.given, target, others),
        "predictions": share_of(predicted, target, others),
        CORRECTED: (corrected.ratio, corrected.low, corrected.high),
    }
    return {name: values for name, values in estimates.items() if np.isfinite(values[0])}


def class_shares(particles: Particles, classes: Sequence[str]) -> Mapping[str, Interval]:
    """Return the share of every class, by predictions if there are any, else by labels."""
    labels, by = particles.predicted, "predictions"
    if not is_known(labels).any():
        labels, by = particles.given, "given labels"
    return {
        f"{name}, {by}": share_of(labels, name, [other for other in classes if other != name])
        for name in classes
    }


def count_contradictions(particles: Particles) -> Table | None:
    """Count predictions by given label: where they differ, one of them is wrong."""
    both = is_known(particles.given) & is_known(particles.predicted)
    if not both.any():
        return None
    given, predicted = particles.given[both], particles.predicted[both]
    others = particles.names(predicted)
    rows = []
    for label in particles.names(given):
        said = predicted[given == label]
        counts = [str((said == other).sum()) for other in others]
        rows.append([label, *counts, percent(float((said != label).mean()))])
    head = ["given label", *(f"predicted {name}" for name in others), "contradicted"]
    return Table("Predictions of labelled particles", head, rows)


def _is_in(labels: Strings, names: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.fromiter((label in names for label in labels), bool, len(labels))
