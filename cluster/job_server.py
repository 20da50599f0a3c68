"""Where a Ray cluster takes jobs: submit them, follow them, stop them, see what became of them."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.jobs import Job, JobExistsError, to_job
from cluster.session import check_reachable
from cluster.tokens import read_token, refusal

#: Where Ray serves jobs, unless it is told otherwise.
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
#: Where Ray's client looks first, whatever address it is given.
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
#: For so long a cluster may not answer while somebody waits for a job.
LOST_S = 60.0
#: For so long a dashboard may leave a request without any answer.
PATIENCE_S = 60.0
POLL_S = 0.5


def default_address() -> str:
    """Return the address that the environment names, or else Ray's own."""
    named = [os.environ.get(name, "") for name in _ADDRESS_VARIABLES]
    return next((name for name in named if name.startswith("http")), DEFAULT_ADDRESS)


class JobServer:
    """The part of a cluster's dashboard that takes jobs.

    Parameters
    ----------
    address : str
        The dashboard's, as http://HOST:PORT or https://HOST:PORT.
    patience_s : float
        For so long it may leave a request without any answer.

    Raises
    ------
    ConnectionError
        If nobody answers there, or the token is missing or refused.
    """

    def __init__(self, address: str, *, patience_s: float = PATIENCE_S) -> None:
        self.address = address.rstrip("/")
        self._patience_s = patience_s
        if not self.address.startswith(("http://", "https://")):
            raise ConnectionError(f"jobs go to http://HOST:PORT or https://..., got {address!r}")
        check_reachable(self.address)
        self._token = read_token()
        self._client = self._call(self._connect)

    def _connect(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        # They set their own levels when they are imported.
        for name in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
        patience_s = self._patience_s

        class PatientClient(JobSubmissionClient):  # type: ignore[misc]
            """Ray's client, which would wait for an answer for ever."""

            def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
                return super()._do_request(method, endpoint, timeout=patience_s, **given)

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        with _no_address_in_the_environment():
            return PatientClient(self.address, headers=headers)

    def submit(
        self,
        job_id: str,
        command: str,
        *,
        working_dir: Path,
        environment: Mapping[str, str],
        metadata: Mapping[str, str],
    ) -> None:
        """Submit a job; its working directory is copied to the cluster.

        Raises
        ------
        JobExistsError
            If there was one of this name.
        """
        try:
            self._call(
                self._client.submit_job,
                entrypoint=command,
                submission_id=job_id,
                runtime_env={"working_dir": str(working_dir), "env_vars": dict(environment)},
                metadata=dict(metadata),
            )
        except RuntimeError as error:
            if "already exists" in str(error):
                raise JobExistsError(job_id) from None
            raise

    def find(self, job_id: str) -> Job | None:
        """Return what the cluster knows of a job."""
        try:
            return to_job(self._call(self._client.get_job_info, job_id))
        except RuntimeError as error:
            if "status code 404" in str(error):
                return None
            raise

    def list_jobs(self) -> list[Job]:
        """Return all submitted jobs, newest first."""
        jobs = [to_job(info) for info in self._call(self._client.list_jobs) if info.submission_id]
        return sorted(jobs, key=lambda job: (str(job.began or ""), job.job_id), reverse=True)

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop; return whether it ran."""
        return bool(self._call(self._client.stop_job, job_id))

    def log(self, job_id: str) -> str:
        """Return everything that a job has said."""
        return str(self._call(self._client.get_job_logs, job_id))

    def wait(self, job_id: str) -> Job:
        """Wait until a job is over."""
        heard = time.monotonic()
        while True:
            with suppress(ConnectionError):
                job = self.find(job_id)
                heard = time.monotonic()
                if job is None:
                    raise RuntimeError(f"the cluster at {self.address} has lost job {job_id}")
                if job.is_over:
                    return job
            self._check_heard(heard, job_id)
            time.sleep(POLL_S)

    def follow(self, job_id: str) -> Iterator[str]:
        """Yield what a job says, as it says it, until it is over."""
        heard, n_seen = time.monotonic(), 0
        while True:
            with suppress(ConnectionError):
                n_skip = n_seen
                for chunk in self._stream(job_id):
                    heard = time.monotonic()
                    # A new connection begins with the first line again.
                    fresh, n_skip = chunk[n_skip:], max(0, n_skip - len(chunk))
                    n_seen += len(fresh)
                    if fresh:
                        yield fresh
                job = self.find(job_id)
                heard = time.monotonic()
                if job is None or job.is_over:
                    return
            self._check_heard(heard, job_id)
            time.sleep(POLL_S)

    def _stream(self, job_id: str) -> Iterator[str]:
        """Yield a job's log, over one connection."""
        import aiohttp

        loop = asyncio.new_event_loop()
        stream = self._client.tail_job_logs(job_id)
        coming: asyncio.Task[str] | None = None
        try:
            while True:
                coming = loop.create_task(_next(stream))
                # A job that is silent and a dashboard that hangs look the same from here, but
                # only the latter leaves this question, too, without an answer.
                while not _is_done(loop, coming, self._patience_s):
                    job = self.find(job_id)
                    if job is None or job.is_over:
                        return
                try:
                    yield coming.result()
                except _LogEndError:
                    return
                except (RuntimeError, OSError, aiohttp.ClientError) as error:
                    raise ConnectionError(str(error)) from error
        finally:
            if coming is not None and not coming.done():
                coming.cancel()
                loop.run_until_complete(asyncio.wait({coming}))
            with suppress(RuntimeError, OSError):
                loop.run_until_complete(stream.aclose())
            loop.close()

    def _check_heard(self, heard: float, job_id: str) -> None:
        if (silent := time.monotonic() - heard) > LOST_S:
            raise ConnectionError(
                f"the cluster at {self.address} does not answer for {silent:.0f} s; job {job_id} "
                "may go on there"
            )

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of Ray's client; say in one line what it has against us."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            return function(*args, **kwargs)
        except AuthenticationError:
            said = refusal(f"the cluster at {self.address}", self._token)
            raise ConnectionError(said) from None
        except requests.exceptions.HTTPError as error:
            raise ConnectionError(f"is {self.address} a Ray dashboard? {error}") from None
        except requests.exceptions.Timeout:
            raise ConnectionError(
                f"the cluster at {self.address} takes connections but leaves them without an "
                f"answer for {self._patience_s:g} s"
            ) from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise ConnectionError(f"no Ray cluster takes jobs at {self.address}: {error}") from None


async def _next(stream: AsyncIterator[str]) -> str:
    """Return the next part of a log, as a task can: by no error of iteration."""
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _LogEndError from None


class _LogEndError(Exception):
    """A log has come to its end."""


def _is_done(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[str]", within_s: float) -> bool:
    done, _ = loop.run_until_complete(asyncio.wait({task}, timeout=within_s))
    return bool(done)


@contextmanager
def _no_address_in_the_environment() -> Iterator[None]:
    """Let Ray's client take the address that it is given."""
    before = {name: os.environ.pop(name, None) for name in _ADDRESS_VARIABLES}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
