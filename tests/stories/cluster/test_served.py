"""Nobody is served without the cluster's token: jobs, dashboard, client and head."""

import urllib.error
import urllib.request
from functools import partial

import pytest

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "asks for a token: set RAY_AUTH_TOKEN_PATH"), ("x" * 64, "refuses this token")],
)
def test_without_the_right_token_no_job_is_taken_nor_shown(nodes, tessera, token, said, tmp_path):
    # A home of its own: in that of the tests lies a token of the Rays that they start.
    run = partial(tessera, RAY_AUTH_TOKEN=token, HOME=tmp_path)
    where = ("--address", nodes.dashboard)
    for words in (
        ("submit", *where, "--", "status", "--archive", tmp_path),
        ("jobs", "list", *where),
        ("jobs", "stop", "any", *where),
    ):
        refused = run(*words)

        assert (refused.returncode, refused.stdout) == (2, "")
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"tessera: the cluster at {nodes.dashboard} {said}")


@pytest.mark.parametrize("token", [None, "x" * 64])
@pytest.mark.parametrize("path", ["/api/jobs/", "/nodes?view=summary", "/api/packages/gcs/a.zip"])
def test_the_dashboard_serves_nobody_without_the_right_token(nodes, token, path):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(nodes.dashboard + path, headers=headers)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)

    refused.value.close()
    assert refused.value.code == (401 if token is None else 403)


@pytest.mark.parametrize("token", ["", "x" * 64])
@pytest.mark.parametrize("door", ["client", "head"])
def test_no_driver_is_served_without_the_right_token(nodes, drill, archive, tessera, token, door):
    refused = tessera(
        *drill.command(archive), "--address", getattr(nodes, door), RAY_AUTH_TOKEN=token,
        RAY_AUTH_MODE="token", HOME=archive.root.parent,
    )  # fmt: skip

    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert "token" in line
    assert drill.n_done(archive) == 0


def test_rays_client_takes_the_token_and_is_refused_for_what_it_cannot_do(
    nodes, drill, archive, tessera
):
    refused = tessera(*drill.command(archive), "--address", nodes.client, **nodes.environment())

    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"tessera: {nodes.client} is Ray's client, and Ray Data does not work")
    assert drill.n_done(archive) == 0


def test_a_driver_with_the_right_token_works_from_outside_the_jobs(nodes, drill, archive, tessera):
    done = tessera(*drill.command(archive), "--address", nodes.head, **nodes.environment())

    assert done.returncode == 0, done.stderr
    assert drill.read(archive) == drill.result
