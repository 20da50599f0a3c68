"""``tessera jobs stop``: end a job."""

from pydantic import Field

from services.outcome import Outcome
from services.submission.settings import OneJobSettings


class Settings(OneJobSettings):
    """Stop a job as Ctrl-C stops a verb: what was done is kept, the same command goes on later."""

    wait: bool = Field(True, description="wait until it is over")


def execute(settings: Settings) -> Outcome:
    """Ask the job to stop, and wait for that."""
    server, job = settings.find()
    was_over = job.is_over
    if not was_over:
        server.stop(job.job_id)
        if settings.wait:
            job = server.wait(job.job_id)
    return Outcome("stopped", {"job": job.job_id, "was_over": was_over, "status": job.status})
