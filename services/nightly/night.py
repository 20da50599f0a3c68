"""One night: plan, take the steps that are left, remember; tell of what went wrong."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.errors import ModelError
from pipelines.mosaic.sources import source_stamp
from pipelines.quarantine import list_quarantine
from services.champions import read_champions
from services.nightly import journal as journals
from services.nightly.changes import Snapshot, find_changes
from services.nightly.failure import fail
from services.nightly.journal import DONE, Journal, StepRecord, write_journal
from services.nightly.plans import (
    Plan,
    forget_plans,
    read_left,
    read_plan,
    write_left,
    write_plan,
)
from services.nightly.run_ids import choose_run_id
from services.nightly.snapshot import digest_segmenters, segmentations, take_snapshot
from services.nightly.watch import look
from services.outcome import Outcome
from services.progress import duration, note

if TYPE_CHECKING:
    from services.nightly.steps import Night, Step
    from services.tracking import TrackedRun
    from services.verbs.relabel import Settings

WORD = "relabelled"


def perform(archive: Archive, settings: "Settings") -> Outcome:
    """Do what is left to do of a night; the caller holds the archive."""
    journal = _begin(archive, settings)
    if journal.status == DONE:
        note(f"run {journal.run_id} is finished: nothing is done twice")
        return Outcome(WORD, {"run_id": journal.run_id, "already": True, **journal.result})
    try:
        plan = read_plan(archive, journal.run_id)
        if plan is None:
            plan = _plan(archive, settings)
            write_plan(archive, journal.run_id, plan)
        if not plan.changes:
            return _end_quietly(archive, journal, plan)
    except Exception as error:
        with suppress(Exception), _tracked(archive, settings, journal):
            raise error
        fail(archive, settings, journal.run_id, error)
        raise
    try:
        return _work(archive, settings, journal, plan)
    except Exception as error:
        fail(archive, settings, journal.run_id, error)
        raise


def _begin(archive: Archive, settings: "Settings") -> Journal:
    """Open the journal of the run that this start belongs to."""
    known = journals.list_journals(archive)
    unfinished = known[-1].run_id if known and known[-1].status != DONE else None
    run_id = choose_run_id(settings.run_id, unfinished, datetime.now(UTC))
    journal = journals.read_journal(archive, run_id) or Journal(run_id, started=journals.now())
    if journal.status == DONE:
        return journal
    if journal.attempts:
        note(f"run {run_id} goes on after: {', '.join(s.name for s in journal.steps) or 'nothing'}")
    journal = replace(
        journal, status=journals.RUNNING, reason="", attempts=journal.attempts + 1, finished=""
    )
    write_journal(archive, journal)
    return journal


def _plan(archive: Archive, settings: "Settings") -> Plan:
    """Find what is new or changed since the last night that came to its end."""
    watched = look(settings.watch_dir, settle_s=settings.settle_s, now_s=time.time())
    if watched.n_unsettled:
        note(f"{watched.n_unsettled} images may still be written: left for the next night")
    now = take_snapshot(
        archive,
        sources=watched.stamps,
        stages=settings.stages,
        gate=_gate(settings),
        champion=_champion(archive, settings),
    )
    before = read_left(archive)
    return Plan(
        changes=tuple(find_changes(before, now)),
        before=before,
        now=now,
        quarantine=tuple(asdict(case) for case in list_quarantine(archive)),
    )


def _gate(settings: "Settings") -> dict[str, Any]:
    """Return what candidates are judged by, JSON-like."""
    gate: dict[str, Any] = {"margin": settings.margin, "min_judged": settings.min_judged}
    if settings.refit_segmenter and settings.segmenter_truth is not None:
        gate["segmenter_truth"] = source_stamp(settings.segmenter_truth)
    return gate


def _champion(archive: Archive, settings: "Settings") -> str:
    """Return the address of the model in use; empty where there is none."""
    if settings.tracking_uri is None:
        # Known at once: on a night without news MLflow is not even imported.
        champion = read_champions(archive).get(settings.name)
        return f"models:/{settings.name}/{champion.version}" if champion else ""
    from services.model_history import CHAMPION
    from services.model_registry import find_model_version
    from services.tracking import open_client

    client = open_client(archive, settings.tracking_uri)
    try:
        found = find_model_version(client, f"{settings.name}@{CHAMPION}")
    except ModelError:
        return ""
    return f"models:/{settings.name}/{found.version}"


def _end_quietly(archive: Archive, journal: Journal, plan: Plan) -> Outcome:
    """End a night on which nothing had changed."""
    from services.report.nightly import write_night_report

    why = "nothing has changed since the last night"
    note(why)
    page = write_night_report(archive, journal, plan, notes=[why])
    values = {"changes": 0, "report": str(page)}
    _end(archive, journal, why, values, plan.now)
    return Outcome(WORD, {"run_id": journal.run_id, **values})


def _work(archive: Archive, settings: "Settings", journal: Journal, plan: Plan) -> Outcome:
    """Take every step that is not done yet, in one Ray session and one run of MLflow."""
    from cluster.session import one_session
    from services.nightly.remember import remember_night
    from services.nightly.steps import STEPS, Night
    from services.report.nightly import write_night_report

    with _tracked(archive, settings, journal) as run, one_session():
        night = Night(archive, settings, journal, plan, run)
        run.tags({"changes": [change.text for change in plan.changes]})
        for step in STEPS:
            _take(night, step)
        known = list(plan.quarantine)
        new_cases = [case for case in list_quarantine(archive) if asdict(case) not in known]
        page = write_night_report(archive, night.journal, plan)
        values = {**_values(night), "report": str(page)}
        remember_night(night, values, n_quarantined=len(new_cases))
        run.tags({key: value for key, value in values.items() if isinstance(value, str | bool)})
        run.artifact(page, "report")
        _end(archive, night.journal, "", values, _left(night))
    return Outcome(WORD, {"run_id": journal.run_id, **values}, n_quarantined=len(new_cases))


def _end(
    archive: Archive, journal: Journal, why: str, values: Mapping[str, Any], left: Snapshot
) -> None:
    """Bring a night to its end; whoever is killed in here ends it again."""
    write_left(archive, left)
    write_journal(archive, journal.ended(DONE, why, values))
    forget_plans(archive)


@contextmanager
def _tracked(archive: Archive, settings: "Settings", journal: Journal) -> Iterator["TrackedRun"]:
    """Write the night in MLflow; an error leaves its reason there as a tag."""
    from services.tracking import track_run

    parameters = settings.model_dump(mode="json")
    with track_run(archive, "relabel", parameters, tracking_uri=settings.tracking_uri) as run:
        run.tags({"night": journal.run_id})
        yield run


def _take(night: "Night", step: "Step") -> None:
    """Take a step, unless it was taken with the same input."""
    given = digest_json(step.given(night))
    if night.journal.find(step.name, given):
        return
    note(f"== {step.name}")
    started = time.monotonic()
    values = dict(step.work(night))
    seconds = time.monotonic() - started
    note(f"== {step.name}: {duration(seconds)}")
    night.journal = night.journal.with_step(
        StepRecord(step.name, given, digest_json(values), seconds, journals.now(), values)
    )
    write_journal(night.archive, night.journal)


def _left(night: "Night") -> Snapshot:
    """Return what the next night will compare with: how this one leaves the archive.

    What came while it ran is left out, so that the next night finds it: images, and labels that
    somebody changed meanwhile.
    """
    method = night.stage("segment").method
    settings = {**night.plan.now.settings, "segmenter": digest_segmenters(night.archive, method)}
    return replace(
        night.plan.now,
        settings=settings,
        mosaics=segmentations(night.archive),
        labels=night.of("clean")["digest"],
        champion=night.of("promote")["champion"],
    )


def _values(night: "Night") -> dict[str, Any]:
    """Return what is worth telling of a night."""
    verdict, promoted = night.of("judge"), night.of("promote")
    segmenter = (
        {
            "segmenter": night.of("promote_segmenter")["champion"] or "none",
            "segmenter_promoted": night.of("promote_segmenter")["promoted"],
            "segmenter_why": night.of("segmenter")["why"],
        }
        if night.settings.refit_segmenter
        else {}
    )
    defects = {"defects": night.of("defects")["defects"]} if night.settings.defect_model else {}
    return {
        "changes": len(night.plan.changes),
        "mosaics": len(night.of("ingest")["new"]),
        "particles": night.of("segment")["instances"],
        "label_version": night.of("clean")["version"],
        "candidate": verdict["candidate"] or "none",
        "champion": promoted["champion"] or "none",
        "promoted": promoted["promoted"],
        "why": verdict["why"],
        "drift": ", ".join(night.of("population")["flagged"]) or "none",
        **segmenter,
        **defects,
    }
