import json
import shlex
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.archive import Archive
from services.notify import NoticeSettings, failure_notice, notify


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers as its path says."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers["Content-Type"], json.loads(body)))
        if self.path == "/slow":
            self.server.let_go.wait(30)
        self.send_response(500 if self.path == "/broken" else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.received, server.let_go = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def notice(tmp_path):
    error = RuntimeError("no answer from\nhttp://ada:secret@lab/mlflow")
    return failure_notice(Archive(tmp_path), "relabel", error, run_id="2026-11-25", report="r.html")


def test_a_webhook_gets_one_json_object_that_says_what_failed_and_why(receiver, notice, tmp_path):
    problems = notify(notice, NoticeSettings(webhook=f"{receiver.url}/hook"))

    assert problems == []
    ((kind, body),) = receiver.received
    assert kind == "application/json"
    assert body["event"] == "run_failed"
    assert (body["archive"], body["verb"], body["run_id"]) == (
        str(tmp_path), "relabel", "2026-11-25",
    )  # fmt: skip
    assert body["reason"] == "RuntimeError: no answer from http://***@lab/mlflow"
    assert "secret" not in json.dumps(body)


def test_a_webhook_that_fails_is_noted_without_its_address_and_not_called_again(
    receiver, notice, capsys
):
    (problem,) = notify(notice, NoticeSettings(webhook=f"{receiver.url}/broken"))

    assert problem == "the webhook answers 500"
    assert len(receiver.received) == 1
    said = capsys.readouterr().err
    assert said == "notice not sent: the webhook answers 500\n"


def test_a_webhook_that_does_not_answer_is_left(receiver, notice):
    (problem,) = notify(notice, NoticeSettings(webhook=f"{receiver.url}/slow"), timeout_s=0.2)

    assert problem == "the webhook cannot be reached: TimeoutError"


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "file:///etc/passwd", "http://[", ""])
def test_an_address_that_cannot_be_reached_is_noted(notice, address):
    (problem,) = notify(notice, NoticeSettings(webhook=address))

    assert problem.startswith("the webhook")


def command(source):
    return shlex.join([sys.executable, "-c", source])


def test_a_mail_command_gets_the_text_on_its_input(notice, tmp_path):
    letter = tmp_path / "letter.txt"
    source = f"import sys; open({str(letter)!r}, 'w').write(sys.stdin.read())"

    problems = notify(notice, NoticeSettings(mail_command=command(source)))

    assert problems == []
    first, _, *rest = letter.read_text().splitlines()
    assert first == f"tessera relabel failed on {tmp_path}"
    assert rest[0] == "reason   RuntimeError: no answer from http://***@lab/mlflow"
    assert "report   r.html" in rest


@pytest.mark.parametrize(
    ("mail_command", "problem"),
    [
        (command("import sys; sys.exit('no such user')"), "ends with 1: no such user"),
        ("/nowhere/mail", "does not work: FileNotFoundError"),
        ("mail 'ada", "does not work: ValueError"),
        ("", "does not work: IndexError"),
        (command("import time; time.sleep(30)"), "does not work: TimeoutExpired"),
    ],
)
def test_a_mail_command_that_fails_is_noted(notice, mail_command, problem):
    (said,) = notify(notice, NoticeSettings(mail_command=mail_command), timeout_s=1)

    assert said.endswith(problem)


def test_nobody_is_told_where_settings_name_nobody(notice):
    assert notify(notice, NoticeSettings()) == []


def test_the_address_is_not_among_settings_that_are_logged():
    settings = NoticeSettings(webhook="https://hooks.lab.org/T0/secret")

    assert "secret" not in settings.model_dump_json()
    assert "secret" not in repr(settings)
