"""``tessera jobs show``: one job of a cluster."""

from services.outcome import Outcome
from services.submission.settings import OneJobSettings


class Settings(OneJobSettings):
    """Show a job: its command, its status, when it began and ended."""


def execute(settings: Settings) -> Outcome:
    """Ask the cluster."""
    from services.screens import columns
    from services.submission.client import describe

    _, job = settings.find()
    told = describe(job)
    rows = [(name, str(value)) for name, value in told.items() if value not in (None, "")]
    values = {"job": job.job_id, "status": job.status, "exit": told["exit"], "described": told}
    return Outcome("read", values, screen=columns(rows))
