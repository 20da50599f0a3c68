"""The part of a cleaning's report that says how far it can be trusted."""

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.population import class_ratio
from pipelines.training.samples import UNKNOWN
from services.cleaning.judging import Cleaning
from services.report.blocks import Block, Interval, Section, Table, Text, percent, percent_between

_SCORES = {
    "precision": "flagged labels that are wrong (precision)",
    "recall": "wrong labels that are flagged (recall)",
    "right_proposals": "proposals that are right",
    "before": "wrong labels before",
    "after": "wrong labels after",
}


def estimated_noise(cleaning: Cleaning) -> Section:
    """Tell how wrong the labels are, by confident learning and, where known, by the truth."""
    noise, names = cleaning.issues.noise, cleaning.classes
    low, high = noise.transition_interval
    rows = []
    for true, name in enumerate(names):
        cells = [
            f"{percent(noise.transition_matrix[true, given])} "
            f"({percent_between(low[true, given], high[true, given])})"
            for given in range(len(names))
        ]
        rows.append([name, percent(noise.joint[true].sum()), *cells])
    head = ["truly", "of all", *(f"labelled {name}" for name in names)]
    text = (
        f"Estimated share of wrong labels: {percent(noise.error_rate)} "
        f"({percent_between(*noise.error_rate_interval)}). Nothing here knows the truth. "
        "Intervals resample particles; they do not contain what networks get wrong alike."
    )
    scores = cleaning.against_truth()
    if scores:
        text += (
            f" In truth, {percent(scores['true_error_rate'])} of the {scores['n_truth']:,.0f} "
            "labels with known truth are wrong."
        )
    table = Table("Estimated labels of each true class", head, rows)
    return Section("noise", "How wrong the labels are", [Text(text), table])


def trust(cleaning: Cleaning) -> Section:
    """Tell how far the flags can be trusted: truth, audit, canaries."""
    blocks: list[Block] = []
    if scores := truth_scores(cleaning):
        rows = [
            [_SCORES[name], percent(share), percent_between(low, high)]
            for name, (share, low, high) in scores.items()
        ]
        blocks.append(Table("Against the truth, where known", ["what", "share", "95 %"], rows))
    else:
        blocks.append(Text("No truth is known of these particles."))
    audited = any(level.n_audited for level in cleaning.levels)
    if audited:
        rows = [
            [
                f"{level.threshold:.3f}",
                str(level.n_proposals),
                str(level.n_audited),
                str(level.n_right),
                percent(level.precision),
                percent(level.lower_bound),
                "yes" if _is_accepted(level.threshold, cleaning.threshold) else "no",
            ]
            for level in cleaning.levels
        ]
        head = ["score from", "proposals", "audited", "right", "precision", "at least", "accepted"]
        blocks.append(Table("Audit of the proposals, from the surest", head, rows, 0))
        n_wrong, n_looked = cleaning.missed
        ratio = class_ratio(n_wrong, n_looked)
        if n_looked:
            blocks.append(
                Text(
                    f"Of {n_looked} audited labels that were not flagged, {n_wrong} are wrong: "
                    f"{percent(ratio.ratio)} ({percent_between(ratio.low, ratio.high)})."
                )
            )
    else:
        blocks.append(Text("There was no audit, so that nothing was accepted without review."))
    canaries = cleaning.canaries
    if canaries.n_canaries:
        blocks.append(
            Text(
                f"{canaries.n_canaries} labels were made wrong for the training, and "
                f"{canaries.n_flagged} of them found ({percent_between(*canaries.interval)}): an "
                f"estimated recall of {percent(canaries.recall)}. They are not part of the result."
            )
        )
    return Section("trust", "How far to trust it", blocks)


def truth_scores(cleaning: Cleaning) -> dict[str, Interval]:
    """Return scores with Wilson's intervals; nothing where no truth is known."""
    true, given, after = cleaning.true_labels, cleaning.given_labels, cleaning.cleaned_labels
    known, flagged = true != UNKNOWN, cleaning.issues.flagged
    if not known.any():
        return {}
    wrong, left = known & (true != given), known & (after != UNKNOWN)
    pairs = {
        "precision": (flagged & wrong, flagged & known),
        "recall": (flagged & wrong, wrong),
        "right_proposals": (left & (after != given) & (after == true), left & (after != given)),
        "before": (wrong, known),
        "after": (left & (after != true), left),
    }
    return {name: _ratio(part, whole) for name, (part, whole) in pairs.items()}


def _ratio(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Interval:
    ratio = class_ratio(int(part.sum()), int(whole.sum()))
    return ratio.ratio, ratio.low, ratio.high


def _is_accepted(score: float, threshold: float | None) -> bool:
    return threshold is not None and score >= threshold
