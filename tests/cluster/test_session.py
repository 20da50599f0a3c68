import os
import socket
import subprocess
import sys

import pytest
import ray
from ray.exceptions import AuthenticationError

from cluster import session
from cluster.session import connect

OWN_RAY = """
import ray
from ray.exceptions import AuthenticationError
from cluster.session import connect, one_session

def running():
    return ray.get_runtime_context().get_job_id() if ray.is_initialized() else None

with connect("local", num_cpus=1):
    first = running()
    with connect("local"):
        inner = running()
    still = running()
assert first == inner == still and running() is None, (first, inner, still, running())

with one_session():
    assert running() is None, "a session that needs no Ray starts none"
    with connect("local", num_cpus=1):
        second = running()
        cores = ray.cluster_resources()["CPU"]
    with connect("local"):
        third = running()
assert second == third and running() is None and cores == 1
print("as it was")
"""


@pytest.mark.ray
def test_ray_is_up_inside_and_gone_after_and_shared_by_the_stages_of_a_session():
    # In a process of its own: the tests share one Ray, which must not end here.
    done = subprocess.run(
        [sys.executable, "-c", OWN_RAY], capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stdout) == (0, "as it was\n"), done.stderr


@pytest.mark.ray
def test_a_ray_that_was_up_is_used_and_left(embedded_ray):
    before = ray.get_runtime_context().get_node_id()

    with connect("nonsense, as nobody needs an address now"):
        assert ray.get_runtime_context().get_node_id() == before

    assert ray.is_initialized()


@pytest.fixture
def no_ray(monkeypatch):
    """Look as if Ray were not up, and take note of how it would be started."""
    calls = []
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", lambda **options: calls.append(options))
    monkeypatch.setattr(session.ray, "shutdown", lambda: calls.append("shutdown"))
    return calls


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_without_an_address_the_ray_is_our_own(no_ray):
    with connect(num_cpus=2):
        pass

    started, ended = no_ray
    assert (started["address"], started["num_cpus"]) == ("local", 2)
    assert ended == "shutdown"


def test_ray_ends_when_the_work_fails(no_ray):
    with pytest.raises(RuntimeError), connect():
        raise RuntimeError

    assert no_ray[-1] == "shutdown"


SLOW = "The current node timed out during startup. This could happen because ..."


def test_a_ray_that_starts_too_slowly_is_started_again(no_ray, monkeypatch):
    answers = iter([Exception(SLOW), Exception(SLOW), None])

    def init(**_):
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(session.ray, "init", init)

    with connect():
        pass

    assert next(answers, "all were asked for") == "all were asked for"


def test_a_machine_on_which_ray_never_starts_is_too_busy(no_ray, monkeypatch):
    def init(**_):
        raise Exception(SLOW)

    monkeypatch.setattr(session.ray, "init", init)

    with pytest.raises(ConnectionError, match="the machine has too much to do"), connect():
        pass


def test_what_else_goes_wrong_at_the_start_is_not_tried_again(no_ray, monkeypatch):
    def init(**options):
        no_ray.append(options)
        raise RuntimeError("no space left")

    monkeypatch.setattr(session.ray, "init", init)

    with pytest.raises(RuntimeError, match="no space left"), connect():
        pass

    assert len(no_ray) == 1


def test_an_address_is_taken_from_the_call_before_the_environment(no_ray, listener, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:1")

    with connect(listener, num_cpus=2):
        pass

    # A cluster has its own cores.
    assert (no_ray[0]["address"], no_ray[0]["num_cpus"]) == (listener, None)


def test_rays_client_is_refused_once_it_has_taken_the_token(no_ray, listener):
    with (
        pytest.raises(ConnectionError, match="is Ray's client, and Ray Data does not work through"),
        connect(f"ray://{listener}"),
    ):
        pass

    assert no_ray[0]["address"] == f"ray://{listener}"


def test_an_address_in_the_environment_is_used(no_ray, listener, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", listener)

    with connect():
        pass

    assert no_ray[0]["address"] == listener


def test_a_cluster_that_does_not_answer_is_refused_at_once(no_ray):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with (
        pytest.raises(ConnectionError, match=f"no Ray cluster answers at 127.0.0.1:{port}: "),
        connect(f"127.0.0.1:{port}"),
    ):
        pass

    assert no_ray == []


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:99999999", "ray://", ":6379"])
def test_what_is_no_address_is_refused(no_ray, address):
    with (
        pytest.raises(ConnectionError, match="address is HOST:PORT, got"),
        connect(address),
    ):
        pass

    assert no_ray == []


def test_others_on_the_machine_cannot_reach_the_token_of_ray(no_ray, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ray"
    folder.mkdir(mode=0o755)
    (folder / "auth_token").write_text("made by an earlier ray")

    with connect("local"):
        pass

    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_no_error(no_ray, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))

    with connect("local"):
        pass

    assert no_ray[-1] == "shutdown"


@pytest.fixture
def refused_by(no_ray, listener, monkeypatch):
    """Connect to a cluster with a token; Ray fails in a given way."""

    def refused_by(error, *, says=b"", token="sesame-open"):
        def init(**options):
            os.write(2, says)
            raise error

        monkeypatch.setattr(session.ray, "init", init)
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        with pytest.raises(ConnectionError) as refused, connect(listener):
            pass
        return str(refused.value)

    return refused_by


def test_a_refused_token_is_one_line_however_often_ray_says_so(refused_by, capfd):
    noise = b"gcs_client.cc:210: InvalidAuthToken: missing or incorrect\n" * 20

    said = refused_by(ConnectionError("Failed to connect"), says=noise)

    assert said.endswith("refuses this token")
    assert "sesame-open" not in said
    assert capfd.readouterr().err == ""


def test_a_missing_token_is_asked_for(refused_by, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    said = refused_by(AuthenticationError("no token"), token="")

    assert "asks for a token: set RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN" in said


def test_other_reasons_are_told_as_they_are(refused_by, capfd):
    said = refused_by(ConnectionError("versions differ"), says=b"something else\n")

    assert "takes no connection (versions differ)" in said
    assert capfd.readouterr().err == "something else\n"
