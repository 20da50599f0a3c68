from dataclasses import replace

import pytest

from cluster.jobs import FAILED, PENDING, RUNNING, STOPPED, SUCCEEDED, Job, JobExistsError
from services.submission.client import describe, exit_status, submit_once, why_no_status
from services.submission.command import Submission

SUBMISSION = Submission("segment", ("segment", "--archive=/a b"), "seed = 3\n", "segment-1")


class FakeServer:
    """Keeps jobs as a cluster does, and starts none."""

    def __init__(self, *jobs):
        self.jobs = {job.job_id: job for job in jobs}
        self.sent = []

    def find(self, job_id):
        return self.jobs.get(job_id)

    def submit(self, job_id, command, *, working_dir, environment, metadata):
        if job_id in self.jobs:
            raise JobExistsError(job_id)
        assert (working_dir / "services" / "cli.py").is_file()
        self.jobs[job_id] = Job(job_id, PENDING, metadata=metadata)
        self.sent.append((job_id, command, environment))


def submit(server):
    return submit_once(server, SUBMISSION, python="python", any_libraries=False)


def test_a_verb_is_sent_with_its_code_and_settings_and_without_a_token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "sesame-open")
    server = FakeServer()

    job, is_new = submit(server)

    assert (job.job_id, is_new) == ("segment-1", True)
    ((_, command, environment),) = server.sent
    assert command == "exec python -m services.submission.driver segment '--archive=/a b'"
    assert environment["TESSERA_SETTINGS"] == "seed = 3\n"
    assert "sesame-open" not in str(server.sent)


@pytest.mark.parametrize(
    ("status", "exit_code"), [(PENDING, None), (RUNNING, None), (SUCCEEDED, 0), (FAILED, 3)]
)
def test_a_job_that_runs_or_has_finished_is_attached_to(status, exit_code):
    server = FakeServer(Job("segment-1", status, exit_code))

    job, is_new = submit(server)

    assert (job.job_id, is_new, server.sent) == ("segment-1", False, [])


@pytest.mark.parametrize(
    ("status", "exit_code"), [(STOPPED, None), (FAILED, None), (FAILED, 1), (FAILED, -9)]
)
def test_a_job_that_came_to_no_end_is_submitted_anew(status, exit_code):
    server = FakeServer(Job("segment-1", status, exit_code))

    first, is_new = submit(server)
    second, is_newer = submit(server)

    assert (first.job_id, is_new) == ("segment-1-2", True)
    assert (second.job_id, is_newer) == ("segment-1-2", False)


def test_of_two_that_submit_at_the_same_moment_one_attaches():
    class Overtaken(FakeServer):
        def submit(self, job_id, *args, **kwargs):
            self.jobs[job_id] = Job(job_id, RUNNING)
            raise JobExistsError(job_id)

    job, is_new = submit(Overtaken())

    assert (job, is_new) == (Job("segment-1", RUNNING), False)


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [
        (SUCCEEDED, 0, 0),
        (FAILED, 2, 2),
        (FAILED, 3, 3),
        (FAILED, 75, 75),
        (FAILED, -9, 1),
        (FAILED, None, 1),
        (STOPPED, None, 130),
    ],
)
def test_the_exit_status_is_the_verbs(status, exit_code, expected):
    assert exit_status(Job("segment-1", status, exit_code)) == expected


def test_what_became_of_a_verb_without_a_status_is_said_in_one_line():
    job = Job("segment-1", FAILED, None, message="Unexpected error:\n  a\n  b")

    assert why_no_status(job) == "job segment-1 failed: Unexpected error:"
    assert "killed by signal 9" in why_no_status(replace(job, exit_code=-9))
    assert "goes on from there" in why_no_status(replace(job, status=STOPPED))


def test_a_job_under_way_has_no_exit_status_yet():
    assert describe(Job("segment-1", RUNNING))["exit"] is None
