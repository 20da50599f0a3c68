"""What the verbs on jobs accept."""

from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.errors import SettingsError
from services.settings import CLUSTER, VerbSettings

if TYPE_CHECKING:
    from cluster.job_server import JobServer
    from cluster.jobs import Job


class JobServerSettings(VerbSettings):
    """What every verb on a cluster's jobs accepts."""

    address: str | None = Field(
        None,
        description="the cluster's dashboard, http://HOST:PORT; by default RAY_ADDRESS if it is "
        "such, else http://127.0.0.1:8265",
        json_schema_extra={"table": CLUSTER, "key": "dashboard"},
    )

    def connect(self) -> "JobServer":
        """Reach the cluster.

        Raises
        ------
        ConnectionError
            If it does not answer, or refuses the token.
        """
        from cluster.job_server import JobServer, default_address

        return JobServer(self.address or default_address())


class OneJobSettings(JobServerSettings):
    """What every verb on one job accepts."""

    job: str | None = Field(
        None,
        description="the job, as `submit` and `jobs list` call it",
        json_schema_extra={"argument": True, "metavar": "JOB"},
    )

    def find(self) -> "tuple[JobServer, Job]":
        """Reach the cluster and find the job.

        Raises
        ------
        SettingsError
            If there is none of this name.
        ConnectionError
            If the cluster does not answer, or refuses the token.
        """
        if not self.job:
            raise SettingsError("JOB is missing; `tessera jobs list` shows which there are")
        server = self.connect()
        job = server.find(self.job)
        if job is None:
            raise SettingsError(f"JOB: there is no {self.job!r} on the cluster at {server.address}")
        return server, job
