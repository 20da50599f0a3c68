"""``tessera jobs logs``: what a job said."""

from pydantic import Field

from services.outcome import Outcome
from services.submission.settings import OneJobSettings


class Settings(OneJobSettings):
    """Print what a job has said, progress and result; with --follow until it is over."""

    follow: bool = Field(False, description="show more as it comes, on standard error")


def execute(settings: Settings) -> Outcome:
    """Read the log."""
    from services.submission import log

    server, job = settings.find()
    if settings.follow:
        lines = list(log.echo(log.lines_of(server.follow(job.job_id))))
        job = server.wait(job.job_id)
        shown = log.result_lines(lines)
    else:
        lines = list(log.lines_of([server.log(job.job_id)]))
        shown = [line.removeprefix(log.RESULT) for line in lines]
    values = {"job": job.job_id, "status": job.status, "lines": len(lines), "log": lines}
    return Outcome("read", values, screen="\n".join(shown))
