"""What becomes of labels once wrong ones are found: proposals, audit, decisions, scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.evaluation.population import class_ratio
from pipelines.labels.audit import (
    AuditLevel,
    CanaryReport,
    acceptance_threshold,
    audit_levels,
    choose_sample,
)
from pipelines.labels.issues import LabelIssues
from pipelines.labels.table import (
    ACCEPTED,
    FLAGGED,
    GIVEN,
    PROPOSED,
    REJECTED,
    UNDETERMINABLE,
)
from pipelines.training.samples import UNKNOWN

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]
Strings = NDArray[np.str_]


@dataclass(frozen=True)
class Cleaning:
    """Judged labels; every array has an entry per particle, canaries left out.

    Attributes
    ----------
    classes : sequence of str
        Names of the classes.
    rows : pyarrow.Table
        ``particle_id, mosaic, instance, segmentation``.
    given_labels, true_labels : (N,) ndarray of int
        Class indices; the truth is `UNKNOWN` where nobody knows it, and only reported on.
    pred_probs : (N, K) ndarray
        Out of sample.
    issues : LabelIssues
        What was found.
    reviewed : (N,) ndarray of int
        What the audit said: a class, K for undeterminable, `UNKNOWN` where it did not look.
    is_decided_by_person : (N,) ndarray of bool
        Where what was said is a person's decision.
    levels : sequence of AuditLevel
        Precision of the proposals above each score.
    threshold : float or None
        Score from which proposals are accepted without a person; None if nowhere.
    states : (N,) ndarray of str
        What each label becomes.
    cleaned_labels : (N,) ndarray of int
        The labels then; `UNKNOWN` for undeterminable.
    canaries : CanaryReport
        How many planted errors were found.
    """

    classes: Sequence[str]
    rows: pa.Table
    given_labels: Indices
    true_labels: Indices
    pred_probs: Floats
    issues: LabelIssues
    reviewed: Indices
    is_decided_by_person: Bools
    levels: Sequence[AuditLevel]
    threshold: float | None
    states: Strings
    cleaned_labels: Indices
    canaries: CanaryReport

    def count(self, state: str) -> int:
        """Return how many labels come into a state."""
        return int((self.states == state).sum())

    @property
    def missed(self) -> tuple[int, int]:
        """Of the labels that were not flagged: how many are wrong of how many audited."""
        looked = ~self.issues.flagged & (self.reviewed != UNKNOWN)
        return int((self.reviewed != self.given_labels)[looked].sum()), int(looked.sum())

    def against_truth(self) -> dict[str, float]:
        """Compare with the truth where it is known; nothing where it is nowhere.

        Returns
        -------
        scores : dict of str to float
            ``true_error_rate`` of the given labels, ``precision`` and ``recall`` of the flags,
            ``right_proposals`` among the proposals, ``error_rate_after`` with all of them taken
            and undeterminable ones dropped, 0 to 1; ``n_truth``. Nan where there is nothing.
        """
        known = self.true_labels != UNKNOWN
        if not known.any():
            return {}
        true, given = self.true_labels[known], self.given_labels[known]
        flagged, after = self.issues.flagged[known], self.cleaned_labels[known]
        wrong = true != given
        changed = (after != given) & (after != UNKNOWN)
        left = after != UNKNOWN
        return {
            "n_truth": float(known.sum()),
            "true_error_rate": _mean(wrong),
            "precision": _mean(wrong[flagged]),
            "recall": _mean(flagged[wrong]),
            "right_proposals": _mean((after == true)[changed]),
            "error_rate_after": _mean((after != true)[left]),
        }

    def population(self, label: int) -> dict[str, tuple[float, float, float]]:
        """Return the share of a class with its interval: before, after, and in truth."""
        return {
            "given labels": _share(self.given_labels, label),
            "cleaned labels": _share(self.cleaned_labels, label),
            "truth, where known": _share(self.true_labels, label),
        }


def judge_labels(
    *,
    classes: Sequence[str],
    rows: pa.Table,
    given_labels: Indices,
    true_labels: Indices,
    pred_probs: Floats,
    issues: LabelIssues,
    reviewed: Indices,
    n_truth_audited: int,
    precision: float,
    canaries: CanaryReport,
    seed: int,
) -> Cleaning:
    """Decide what each label becomes.

    Flagged labels become proposals of the likeliest class, or undeterminable where no class is
    likely. Proposals are accepted above the score from which the audit shows enough precision.
    What a person said of a particle stands.

    Parameters
    ----------
    n_truth_audited : int
        Proposals, and as many labels that were not flagged, whose truth stands for an audit.
    precision : float
        Lower bound on precision to ask for, 0 to 1.
    seed : int
        Draws the particles whose truth is used.
    """
    said = reviewed.copy()
    by_person = reviewed != UNKNOWN
    differs = issues.flagged & (issues.proposed_labels != given_labels)
    is_proposal = differs & ~issues.undeterminable
    if n_truth_audited:
        ids = rows["particle_id"].to_numpy()
        for name, group in (("proposals", is_proposal), ("others", ~issues.flagged)):
            known = np.flatnonzero(group & (true_labels != UNKNOWN) & ~by_person)
            purpose = f"audit {name}"
            drawn = choose_sample(ids[known], n_truth_audited, seed=seed, purpose=purpose)
            said[known[drawn]] = true_labels[known[drawn]]
    scores = -issues.margins
    looked = said != UNKNOWN
    levels = audit_levels(
        scores[is_proposal],
        looked[is_proposal],
        (said == issues.proposed_labels)[is_proposal],
    )
    threshold = acceptance_threshold(levels, precision=precision)
    states = np.full(len(given_labels), GIVEN, dtype="<U20")
    states[issues.flagged] = FLAGGED
    states[issues.undeterminable] = UNDETERMINABLE
    states[is_proposal] = PROPOSED
    if threshold is not None:
        states[is_proposal & (scores >= threshold)] = ACCEPTED
    cleaned = np.where(is_proposal, issues.proposed_labels, given_labels)
    changed = by_person & (said != given_labels)
    states[by_person & ~changed & issues.flagged] = REJECTED
    states[changed] = ACCEPTED
    states[by_person & (said == len(classes))] = UNDETERMINABLE
    cleaned[by_person] = said[by_person]
    cleaned[states == UNDETERMINABLE] = UNKNOWN
    return Cleaning(
        classes=classes,
        rows=rows,
        given_labels=given_labels,
        true_labels=true_labels,
        pred_probs=pred_probs,
        issues=issues,
        reviewed=said,
        is_decided_by_person=by_person,
        levels=levels,
        threshold=threshold,
        states=states,
        cleaned_labels=cleaned,
        canaries=canaries,
    )


def _mean(values: Bools) -> float:
    return float(values.mean()) if values.size else math.nan


def _share(labels: Indices, label: int) -> tuple[float, float, float]:
    known = labels != UNKNOWN
    ratio = class_ratio(int((labels == label).sum()), int(known.sum()))
    return ratio.ratio, ratio.low, ratio.high
