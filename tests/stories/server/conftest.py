"""A real PostgreSQL and a real MLflow server with users, for the length of a test.

Nothing of it can be reached from elsewhere: PostgreSQL listens on a socket in a folder of its
own, MLflow on the loopback interface.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

PASSWORD = "an-admins-long-password"
#: How long a server may take to answer; nothing is measured against it.
PATIENCE_S = 240.0


def postgres_programs() -> Path | None:
    """Where PostgreSQL's programs are; Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(folders[-1]).parent if folders else None


def unprivileged() -> tuple[list[str], str]:
    """How to run as somebody who is not root, as PostgreSQL refuses to run as root; and as whom."""
    if os.getuid() != 0:
        return [], pwd.getpwuid(os.getuid()).pw_name
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in known else "nobody"
    group = pwd.getpwnam(user).pw_gid
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"], user


@dataclass(frozen=True)
class Server:
    """A tracking server that runs."""

    address: str
    database: "Postgres"
    user: str = "admin"
    password: str = PASSWORD


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not here: install the system's package postgresql")
    if find_spec("flask_wtf") is None or find_spec("psycopg2") is None:
        pytest.skip("the extra 'server' is not here: pip install 'tessera-mosaic[server]'")
    with (
        run_postgres(programs) as database,
        run_mlflow(database, tmp_path_factory.mktemp("mlflow")) as address,
    ):
        yield Server(address, database)


@dataclass(frozen=True)
class Postgres:
    """A database that runs."""

    folder: Path
    user: str
    programs: Path

    def address(self, database: str) -> str:
        return f"postgresql+psycopg2://{self.user}@/{database}?host={self.folder}"

    def ask(self, database: str, query: str) -> str:
        command = [self.programs / "psql", "-h", self.folder, "-U", self.user, "-d", database]
        return subprocess.run(
            [*command, "-tAc", query], capture_output=True, text=True, check=True
        ).stdout.strip()


@contextmanager
def run_postgres(programs: Path) -> Iterator[Postgres]:
    """Make a database of our own and run it, on a socket in its folder alone."""
    prefix, user = unprivileged()
    # Not below the tests' own folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="tessera-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, user)
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    try:
        subprocess.run(
            [*prefix, programs / "initdb", "-D", data, "-U", user, "--auth=trust", "-E", "UTF8",
             "--no-sync"],
            check=True, capture_output=True, cwd=folder, env=environment,
        )  # fmt: skip
        options = ["-c", "listen_addresses=", "-k", folder, "-c", "fsync=off"]
        server = subprocess.Popen(
            [*prefix, programs / "postgres", "-D", data, *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=environment,
        )  # fmt: skip
        try:
            running = Postgres(folder, user, programs)
            _wait(lambda: subprocess.run(
                [programs / "pg_isready", "-q", "-h", folder, "-U", user]
            ).returncode == 0, server)  # fmt: skip
            for database in ("mlflow", "auth"):
                running.ask("postgres", f"create database {database}")
            yield running
        finally:
            # A fast stop, which waits for nobody.
            server.send_signal(signal.SIGINT)
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_mlflow(database: Postgres, folder: Path) -> Iterator[str]:
    """Run MLflow with its own users on the database; return its address."""
    auth = folder / "auth.ini"
    auth.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"database_uri = {database.address('auth')}\n"
        # Checking a password is made slow on purpose; once a minute is enough.
        "auth_cache_ttl_seconds = 60\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-no-use-elsewhere",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth",
             "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", database.address("mlflow"),
             "--artifacts-destination", str(folder / "artifacts")],
            stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(lambda: _answers(address), server, folder / "server.log")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _wait(condition, server: subprocess.Popen, log: Path | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        said = log.read_text(errors="replace")[-2000:] if log else ""
        assert server.poll() is None, f"the server ended with {server.returncode}: {said}"
        assert time.monotonic() < deadline, f"the server does not answer: {said}"
        time.sleep(0.2)
