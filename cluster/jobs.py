"""What a Ray cluster knows of a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED = (
    "pending",
    "running",
    "succeeded",
    "failed",
    "stopped",
)


class JobExistsError(Exception):
    """A job of this name was submitted before."""


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it.

    Attributes
    ----------
    job_id : str
        What it was called when it was submitted.
    status : str
        pending, running, succeeded, failed or stopped.
    exit_code : int or None
        Of its command, if that came to an end by itself.
    command : str
        Its command line.
    began, ended : datetime or None
        When.
    message : str
        What Ray says of its status.
    metadata : mapping
        What was noted when it was submitted.
    """

    job_id: str
    status: str
    exit_code: int | None = None
    command: str = ""
    began: datetime | None = None
    ended: datetime | None = None
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in (SUCCEEDED, FAILED, STOPPED)


def to_job(info: Any) -> Job:
    """Make a job of what Ray's client returns."""
    return Job(
        job_id=info.submission_id,
        status=str(info.status.value).lower(),
        exit_code=info.driver_exit_code,
        command=info.entrypoint,
        began=_time(info.start_time),
        ended=_time(info.end_time),
        message=info.message or "",
        metadata=dict(info.metadata or {}),
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
