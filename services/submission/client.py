"""Submit a verb once, and tell what became of it."""

import json
import shlex
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.outcome import DONE, INTERRUPTED, OURS, SOME_QUARANTINED
from services.submission.command import Submission
from services.submission.driver import LIBRARIES_VARIABLE, SETTINGS_VARIABLE
from services.submission.parcel import own_root, pack

if TYPE_CHECKING:
    from cluster.job_server import JobServer
    from cluster.jobs import Job

#: Statuses of a verb that came to its end: who submits it again is told, and nothing runs.
FINISHED = (DONE, SOME_QUARANTINED)
#: How long a stopped verb has for leaving everything as it should be.
STOP_WAIT_S = 60


def submit_once(
    server: "JobServer", submission: Submission, *, python: str, any_libraries: bool
) -> tuple["Job", bool]:
    """Submit a verb, unless it runs or has finished: then attach to that job.

    A job that was stopped, died or failed does not count: the verb is submitted anew, and goes
    on from where that one ended.

    Returns
    -------
    job : Job
        The job, whosesoever it is.
    is_new : bool
        Whether it was submitted now.
    """
    from cluster.jobs import JobExistsError

    for attempt in count(1):
        job_id = submission.job_id if attempt == 1 else f"{submission.job_id}-{attempt}"
        job, is_new = server.find(job_id), False
        if job is None:
            try:
                _submit(server, job_id, submission, python=python, any_libraries=any_libraries)
                is_new = True
            except JobExistsError:
                # Somebody else did so at the same moment.
                pass
            job = server.find(job_id)
        if job is not None and (is_new or not job.is_over or job.exit_code in FINISHED):
            return job, is_new
    raise AssertionError("attempts do not end")


def _submit(
    server: "JobServer", job_id: str, submission: Submission, *, python: str, any_libraries: bool
) -> None:
    from services.versions import CODE_VERSION_VARIABLE, code_version, library_versions

    environment = {
        CODE_VERSION_VARIABLE: code_version(),
        # Ray would end the driver with a signal that leaves it no time.
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
    }
    if not any_libraries:
        environment[LIBRARIES_VARIABLE] = json.dumps(library_versions())
    if submission.settings_toml:
        environment[SETTINGS_VARIABLE] = submission.settings_toml
    driver = [python, "-m", "services.submission.driver", *submission.words]
    with tempfile.TemporaryDirectory() as folder:
        pack(own_root(), Path(folder))
        server.submit(
            job_id,
            # In the place of the shell, which would not hand on signals and statuses.
            f"exec {shlex.join(driver)}",
            working_dir=Path(folder),
            environment=environment,
            metadata={"tessera": code_version(), "verb": submission.verb},
        )


def exit_status(job: "Job") -> int:
    """Return the status of the verb that a job ran, as if it had run here."""
    from cluster.jobs import STOPPED

    if job.status == STOPPED:
        return INTERRUPTED
    # A driver that a signal ended has a negative one.
    return OURS if job.exit_code is None or job.exit_code < 0 else job.exit_code


def why_no_status(job: "Job") -> str:
    """Say what became of a job whose verb came to no end of its own."""
    from cluster.jobs import STOPPED

    if job.status == STOPPED:
        return f"job {job.job_id} was stopped; the same command goes on from there"
    if job.exit_code is not None and job.exit_code < 0:
        return f"the driver of job {job.job_id} was killed by signal {-job.exit_code}"
    first = (job.message.strip().splitlines() or ["no reason is known"])[0]
    return f"job {job.job_id} failed: {first}"


def describe(job: "Job") -> dict[str, Any]:
    """Return what is known of a job, for scripts."""
    return {
        "job": job.job_id,
        "status": job.status,
        "exit": exit_status(job) if job.is_over else None,
        "verb": job.metadata.get("verb", ""),
        "code": job.metadata.get("tessera", ""),
        "command": job.command,
        "began": job.began.isoformat(timespec="seconds") if job.began else None,
        "ended": job.ended.isoformat(timespec="seconds") if job.ended else None,
        "message": "" if job.exit_code == DONE else job.message,
    }
