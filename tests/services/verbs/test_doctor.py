import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.archive import create_archive
from pipelines.quarantine import Quarantined, put_in_quarantine
from services.lock import hold
from services.machine import MISSING, OK, OPTIONAL, WARNING, Check
from services.verbs import doctor


def by_name(checks) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_machine_that_has_what_is_needed_is_well():
    diagnosis = doctor.execute(doctor.Settings())

    assert diagnosis.status == 0
    assert {check.name for check in diagnosis.checks} >= {
        "python",
        "libraries",
        "gpu",
        "cores",
        "memory",
        "shared memory",
        "disk",
        "ray",
        "tracking",
    }


def test_what_is_missing_is_listed_with_its_remedy_and_ends_in_exit_2():
    checks = (Check("a", OK, "there"), Check("b", MISSING, "gone", "fetch it"))

    diagnosis = doctor.Diagnosis("examined", {"ok": 1, "missing": 1}, checks=checks)

    assert diagnosis.status == 2
    assert diagnosis.line().splitlines() == [
        "ok       a              there",
        "missing  b              gone",
        "                        -> fetch it",
        "examined ok=1 missing=1",
    ]


@pytest.mark.parametrize("status", [OK, OPTIONAL, WARNING])
def test_what_is_not_needed_does_not_fail(status):
    assert doctor.Diagnosis("examined", checks=(Check("a", status, ""),)).status == 0


def test_json_is_one_object_with_every_check():
    diagnosis = doctor.Diagnosis("examined", {"ok": 1}, checks=(Check("a", OK, "there"),))

    assert json.loads(diagnosis.json()) == {
        "done": "examined",
        "ok": 1,
        "checks": [{"name": "a", "status": "ok", "found": "there", "remedy": ""}],
    }


def test_an_archive_that_can_be_made_is_well(tmp_path):
    (check,) = doctor.check_archive(tmp_path / "new")

    assert check.status == OK
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_cannot_be_made_is_missing():
    # Nobody can make files there, root included.
    (check,) = doctor.check_archive(Path("/proc/archive"))

    assert check.status == MISSING
    assert "/proc/archive" in check.found


def test_a_folder_of_something_else_is_no_archive(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")

    (check,) = doctor.check_archive(tmp_path)

    assert check.status == MISSING
    assert "not an archive" in check.found


def test_an_archive_is_left_as_it_was(tmp_path):
    archive = create_archive(tmp_path / "a")
    put_in_quarantine(archive, Quarantined("ingest", "m", "m.tif", "is empty"))
    before = {path for path in archive.root.rglob("*") if path.name != ".lock"}

    checks = by_name(doctor.check_archive(archive.root))

    assert checks["archive"].status == OK
    assert "0 mosaics" in checks["archive"].found
    assert checks["quarantine"].found.startswith("1 ")
    assert checks["lock"].status == OK
    assert {path for path in archive.root.rglob("*") if path.name != ".lock"} == before


def test_an_archive_that_cannot_be_written_is_missing(tmp_path, monkeypatch):
    archive = create_archive(tmp_path / "a")
    monkeypatch.setattr(doctor, "why_not_writable", lambda folder: "Read-only file system")

    (check,) = doctor.check_archive(archive.root)

    assert check.status == MISSING
    assert "Read-only file system" in check.found


def test_a_held_archive_names_its_holder(tmp_path):
    archive = create_archive(tmp_path / "a")

    with hold(archive):
        checks = by_name(doctor.check_archive(archive.root))

    assert checks["lock"].status == WARNING
    assert str(os.getpid()) in checks["lock"].found


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/mlflow/health" else 403)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_tracking_server_that_answers_is_well(server):
    assert doctor.check_tracking(f"{server}/mlflow/").status == OK


def test_a_server_that_refuses_is_told_from_one_that_is_not_there(server):
    refused = doctor.check_tracking(server)

    assert refused.status == WARNING
    assert "403" in refused.found


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "http://", "http://[broken"])
def test_a_tracking_server_that_does_not_answer_is_missing(uri):
    check = doctor.check_tracking(uri)

    assert check.status == MISSING
    assert uri in check.found


@pytest.mark.parametrize("uri", [None, "sqlite:///a/mlflow.db"])
def test_a_database_needs_no_server(uri):
    assert doctor.check_tracking(uri).status == OK


@pytest.mark.ray
def test_deep_checks_start_ray(embedded_ray):
    check = doctor.check_embedded_ray()

    assert check.status == OK
    assert "ran a task" in check.found
