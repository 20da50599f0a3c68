"""``tessera jobs list``: the jobs of a cluster."""

from typing import TYPE_CHECKING

from pydantic import Field

from services.outcome import Outcome
from services.submission.settings import JobServerSettings

if TYPE_CHECKING:
    from cluster.jobs import Job


class Settings(JobServerSettings):
    """List the verbs that were submitted to a cluster since it was started, newest first."""

    limit: int = Field(20, ge=1, description="how many to show")
    foreign: bool = Field(False, description="also jobs that are not Tessera's")


def execute(settings: Settings) -> Outcome:
    """Ask the cluster."""
    from services.screens import columns
    from services.submission.client import describe

    jobs = settings.connect().list_jobs()
    if not settings.foreign:
        jobs = [job for job in jobs if "tessera" in job.metadata]
    shown = jobs[: settings.limit]
    running = sum(not job.is_over for job in jobs)
    return Outcome(
        "listed",
        {"jobs": len(jobs), "running": running, "listed": [describe(job) for job in shown]},
        screen=columns([_row(job) for job in shown]) if shown else "",
    )


def _row(job: "Job") -> tuple[str, ...]:
    from datetime import UTC, datetime

    from services.progress import duration

    began = f"{job.began:%Y-%m-%d %H:%M} UTC" if job.began else "-"
    taken = (job.ended or datetime.now(UTC)) - job.began if job.began else None
    took = duration(taken.total_seconds()) if taken else "-"
    ended = job.status if job.exit_code in (None, 0) else f"{job.status} ({job.exit_code})"
    return job.job_id, ended, began, took
