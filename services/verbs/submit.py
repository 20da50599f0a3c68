"""``tessera submit``: any verb as a job on a Ray cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.errors import SettingsError
from services.outcome import DONE, Outcome
from services.submission.settings import JobServerSettings

if TYPE_CHECKING:
    from cluster.job_server import JobServer
    from cluster.jobs import Job

#: Of a log that nobody followed, so many lines are shown if the verb failed.
TAIL = 12


class Settings(JobServerSettings):
    """Run a verb as a job on a Ray cluster: tessera submit -- segment --archive /data/a.

    The verb's settings are checked here, before anything is sent; its code goes along, archives
    and secrets do not, so paths must be where all nodes find them. The verb's result goes to
    standard output, and its exit status is this command's. The same verb with the same settings
    is the same job: submitted again it is not run again, but waited for, or its result told;
    --run-id makes it another. If it was stopped or failed, it goes on.
    """

    command: tuple[str, ...] = Field(
        (),
        description="the verb and its flags, after --",
        json_schema_extra={"argument": True, "metavar": "-- VERB", "command_line": True},
    )
    run_id: str | None = Field(
        None, description="name of this run, to run the same command once more"
    )
    wait: bool = Field(True, description="wait for the verb's end")
    follow: bool = Field(False, description="show its progress meanwhile")
    python: str = Field(
        "python", min_length=1, description="the cluster's Python that has Tessera's requirements"
    )
    any_libraries: bool = Field(
        False, description="run also where libraries have other versions than here"
    )


@dataclass(frozen=True)
class Submitted(Outcome):
    """An outcome with the exit status of the verb that was submitted."""

    exit_status: int = DONE

    @property
    def status(self) -> int:
        """The verb's."""
        return self.exit_status


def execute(settings: Settings) -> Submitted:
    """Submit the verb, or attach to its job; wait for it if wanted."""
    from services.nightly.run_ids import check_run_id
    from services.progress import note
    from services.submission.command import read_command

    if settings.follow and not settings.wait:
        raise SettingsError("--follow waits, so it cannot go with --no-wait")
    if settings.run_id is not None:
        check_run_id(settings.run_id)
    submission = read_command(settings.command, run_id=settings.run_id)
    from services.submission.client import submit_once

    server = settings.connect()
    job, is_new = submit_once(
        server, submission, python=settings.python, any_libraries=settings.any_libraries
    )
    if not is_new:
        since = f"{job.began:%Y-%m-%d %H:%M} UTC" if job.began else "an unknown time"
        note(
            f"this was submitted before, at {since}, and is not run again (--run-id NAME does); "
            f"job {job.job_id} {'is over' if job.is_over else 'goes on'}"
        )
    if not settings.wait:
        values = {"job": job.job_id, "new": is_new, "status": job.status}
        return Submitted("submitted", values)
    if is_new:
        note(f"job {job.job_id} at {server.address}")
    try:
        return _wait(server, job, is_new=is_new, follow=settings.follow)
    except KeyboardInterrupt:
        note(f"job {job.job_id} goes on; tessera jobs stop {job.job_id} ends it")
        raise


def _wait(server: "JobServer", job: "Job", *, is_new: bool, follow: bool) -> Submitted:
    """Wait for the job's end, and return what its verb returned."""
    from services.submission import client, log

    if follow:
        lines = list(log.echo(log.lines_of(server.follow(job.job_id))))
        over = server.wait(job.job_id)
    else:
        over = server.wait(job.job_id)
        lines = list(log.lines_of([server.log(job.job_id)]))
    status = client.exit_status(over)
    result = log.result_lines(lines)
    _explain(over, [] if follow else log.other_lines(lines), status)
    return Submitted(
        "submitted",
        {
            "job": over.job_id,
            "new": is_new,
            "status": over.status,
            "exit": status,
            "result": {"stdout": log.read_result(result)},
        },
        screen="\n".join(result),
        exit_status=status,
    )


def _explain(job: "Job", said: Sequence[str], status: int) -> None:
    """Show why a verb failed."""
    from services.progress import note
    from services.submission import client

    if status in client.FINISHED:
        return
    for line in said[-TAIL:]:
        note(line)
    if job.exit_code is None or job.exit_code < 0:
        note(f"tessera: {client.why_no_status(job)}")
