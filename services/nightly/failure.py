"""A night that failed: written down in its journal and its report, and told once."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.archive import Archive
from services.nightly import journal as journals
from services.nightly.journal import Journal, write_journal
from services.nightly.plans import read_plan
from services.notify import failure_notice, notify
from services.progress import note
from services.secrets import without_passwords

if TYPE_CHECKING:
    from services.verbs.relabel import Settings

VERB = "relabel"


def fail(archive: Archive, settings: "Settings", run_id: str, error: Exception) -> None:
    """Write down why a night failed, and tell whoever asked to be told.

    What goes wrong here is noted and must not hide the error itself.
    """
    reason = without_passwords(f"{type(error).__name__}: {' '.join(str(error).split())}")
    try:
        journal = journals.read_journal(archive, run_id) or Journal(run_id)
        report = _report(archive, journal, reason)
        ended = journal.ended(journals.FAILED, reason, {"report": report})
        if journal.told != reason:
            # A scheduler that tries again and again must not send a message each time.
            notify(failure_notice(archive, VERB, error, run_id=run_id, report=report), settings)
            ended = replace(ended, told=reason)
        write_journal(archive, ended)
    except Exception as second:
        note(f"the failure itself could not be written down: {second}")


def _report(archive: Archive, journal: Journal, reason: str) -> str:
    from services.report.nightly import write_night_report

    plan = read_plan(archive, journal.run_id)
    notes = [f"The night failed: {reason}"]
    return str(write_night_report(archive, journal, plan, notes=notes))
