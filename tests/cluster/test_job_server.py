import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import ray

from cluster.job_server import JobServer

# Ray's client gives aiohttp a word that it no longer wants.
pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated")

SILENT = "takes connections but leaves them without an answer for 0.2 s"


@contextlib.contextmanager
def listening(handle):
    """Serve connections on the loopback interface, each by a thread; yield the address."""
    server = socket.create_server(("127.0.0.1", 0))
    taken = []

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            taken.append(connection)
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in taken:
            connection.close()
        thread.join()


def test_a_dashboard_that_never_answers_is_left_after_a_while_with_its_address():
    with (
        listening(lambda connection: None) as address,
        pytest.raises(ConnectionError, match=SILENT) as error,
    ):
        JobServer(address, patience_s=0.2)

    assert address in str(error.value)
    assert "\n" not in str(error.value)


class Dashboard(BaseHTTPRequestHandler):
    """Tells its version, and what it is set to tell of a job; its log stays silent."""

    status = "RUNNING"
    asked = 0

    def do_GET(self):
        if self.path.endswith("/logs/tail"):
            time.sleep(30)
        elif self.path == "/api/version":
            about = {
                "version": "4",
                "ray_version": ray.__version__,
                "ray_commit": "",
                "session_name": "",
            }
            self.answer(about)
        else:
            Dashboard.asked += 1
            if Dashboard.asked > 2 and Dashboard.status == "HANGS":
                time.sleep(30)
            if Dashboard.asked > 2 and Dashboard.status == "RUNNING":
                Dashboard.status = "SUCCEEDED"
            status = "RUNNING" if Dashboard.status == "HANGS" else Dashboard.status
            self.answer(
                {"type": "SUBMISSION", "submission_id": "j", "status": status, "entrypoint": "x"}
            )

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def dashboard():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Dashboard.asked = 0
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_job_that_says_nothing_is_followed_until_it_is_over(dashboard, monkeypatch):
    monkeypatch.setattr(Dashboard, "status", "RUNNING")
    server = JobServer(dashboard, patience_s=0.2)

    assert list(server.follow("j")) == []
    assert Dashboard.asked >= 3


def test_a_dashboard_that_hangs_while_a_job_is_followed_is_left(dashboard, monkeypatch):
    monkeypatch.setattr(Dashboard, "status", "HANGS")
    monkeypatch.setattr("cluster.job_server.LOST_S", 0.1)
    server = JobServer(dashboard, patience_s=0.2)

    with pytest.raises(ConnectionError, match=r"does not answer for .* job j may go on there"):
        list(server.follow("j"))
