"""Carry out a planned cleaning: train, find, decide, commit, report."""

import math
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cluster.session import connect
from pipelines.archive import Archive
from pipelines.labels.audit import report_canaries
from pipelines.labels.issues import LabelIssues, find_label_issues
from pipelines.labels.table import ACCEPTED, PROPOSED, UNDETERMINABLE
from pipelines.randomness import generator
from services.author import system_user
from services.cleaning.judging import Cleaning, judge_labels
from services.cleaning.out_of_sample import predict_out_of_sample
from services.cleaning.plan import CleanPlan
from services.cleaning.rows import to_report, to_rows
from services.label_store import commit_labels
from services.progress import note
from services.report.cleaning import write_cleaning_report
from services.tracking import TrackedRun
from services.versions import code_version

if TYPE_CHECKING:
    from services.verbs.clean import Settings

_STAGE = "clean"


def clean_and_commit(
    archive: Archive, settings: "Settings", planned: CleanPlan, run: TrackedRun
) -> dict[str, Any]:
    """Do the work of a run; return what is worth telling."""
    version = planned.version
    run.dataset(
        "labels", version.digest, source=f"tables/labels@{version.version}", context="cleaning"
    )
    with connect(settings.address) if settings.train_workers else nullcontext():
        # Kept after the run: another filter or an audit needs no training then.
        probs = predict_out_of_sample(
            planned.folds,
            folder=archive.scratch / _STAGE / planned.key,
            n_workers=settings.train_workers,
            wish=settings.team_wish,
        )
    cleaning, remarks = _judge(settings, planned, probs)
    for remark in remarks:
        note(f"clean: {remark}")
    judged = planned.is_judged & ~planned.is_canary
    report = to_report(cleaning)
    made = commit_labels(
        archive,
        to_rows(cleaning, planned.newest_states[judged], method=settings.filter_by),
        method=_STAGE,
        author=settings.author or system_user(),
        run_id=run.run_id,
        code_version=code_version(),
        rules={
            "cleaned_version": version.version,
            "settings": settings.model_dump(mode="json"),
            **report,
        },
        # Trainings take hours: what people decided meanwhile stands.
        base=planned.newest_version,
        on_conflict="theirs",
    )
    if not made.is_new:
        note(f"labels are unchanged: version {made.version} stays the current one")
    page = write_cleaning_report(
        archive,
        cleaning,
        cleaned=version,
        made=made,
        settings=settings.model_dump(mode="json"),
        run_id=run.run_id,
        notes=remarks,
    )
    values = _values(cleaning)
    run.metrics(values)
    run.artifact(page, "report")
    return {
        "version": made.version,
        "digest": made.digest,
        "parent": made.parent_version,
        "cleaned_version": version.version,
        **values,
        "run": run.run_id,
        "report": str(page),
    }


def _judge(
    settings: "Settings", planned: CleanPlan, probs: NDArray[np.float64]
) -> tuple[Cleaning, list[str]]:
    """Find issues and decide; also return what a reader should know before believing it."""
    plan = planned.plan

    def find(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> LabelIssues:
        return find_label_issues(
            labels[rows],
            probs[rows],
            plan.particles.particle_ids[rows],
            filter_by=settings.filter_by,
            mirrored_class=plan.mirrored_class,
            rng=generator(settings.seed, "issues"),
        )

    everyone = np.flatnonzero(planned.is_judged)
    judged = np.flatnonzero(planned.is_judged & ~planned.is_canary)
    with warnings.catch_warnings(record=True) as caught:
        # Cleanlab warns of classes with few labels, which is no reason to stop either.
        warnings.simplefilter("always", UserWarning)
        issues = find(planned.given_labels, judged)
        # The canaries' own result is theirs alone: without them nothing else knows of them.
        with_canaries = find(plan.given_labels, everyone)
    cleaning = judge_labels(
        classes=plan.classes,
        rows=planned.rows.take(judged),
        given_labels=planned.given_labels[judged],
        true_labels=plan.true_labels[judged],
        pred_probs=probs[judged],
        issues=issues,
        reviewed=planned.reviewed[judged],
        n_truth_audited=settings.audit_truth,
        precision=settings.accept_precision,
        canaries=report_canaries(
            with_canaries.flagged,
            planned.is_canary[everyone],
            error_rate=issues.noise.error_rate,
            n_classes=len(plan.classes),
        ),
        seed=settings.seed,
    )
    remarks = {str(said.message) for said in caught if issubclass(said.category, UserWarning)}
    return cleaning, sorted(remarks)


def _values(cleaning: Cleaning) -> dict[str, float]:
    """Return the numbers that are worth telling; none that is not known."""
    noise, canaries = cleaning.issues.noise, cleaning.canaries
    numbers = {
        "judged": len(cleaning.given_labels),
        "flagged": int(cleaning.issues.flagged.sum()),
        "proposed": cleaning.count(PROPOSED),
        "accepted": cleaning.count(ACCEPTED),
        "undeterminable": cleaning.count(UNDETERMINABLE),
        "error_rate": noise.error_rate,
        "error_rate_low": noise.error_rate_interval[0],
        "error_rate_high": noise.error_rate_interval[1],
        "canaries": canaries.n_canaries,
        "canaries_found": canaries.n_flagged,
        "canary_recall": canaries.recall,
        **cleaning.against_truth(),
    }
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
