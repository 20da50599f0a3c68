"""Object stores on loopback, each in a process of its own, with faults on demand.

The one that speaks S3 is moto's server; what stands in for Google's and Microsoft's is in files of
its own. In front of each stands what a bad day has to offer: answers of 500 and 503, slow ones, and
connections that are cut before or after a request was carried out. None may run in the tests' own
process: Delta asks some questions while it holds the interpreter's lock.
"""

import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

CONTROL = "/_faults"
KEY_ID, SECRET = "TESSERAKEYID", "tessera-secret-that-must-not-leak"
#: How long a slow answer takes.
SLOW_S = 0.3
_LATER = b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"
#: What tells one state of an object from the next, in the words of all kinds.
CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH", "HTTP_X_GOOG_IF_GENERATION_MATCH")
#: Where a store finds them that ignores them, but must know what was signed.
SIGNED = "tests.signed"
#: What a process of a store is told of who may come in.
LETS_IN = "TESSERA_TESTS_LET_IN"


@dataclass(frozen=True)
class ObjectStore:
    """A running store, here one that speaks S3."""

    endpoint: str

    scheme: ClassVar[str] = "s3"

    @property
    def secret(self) -> str:
        """What must be written down nowhere."""
        return SECRET

    @staticmethod
    def lets_in() -> str:
        """Say to its process who may come in; moto asks nobody."""
        return ""

    @property
    def environment(self) -> dict[str, str]:
        """What a user of it has in the environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> str:
        """Make a bucket, and return its name."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        return name

    @contextmanager
    def faults(self, **wanted: Any) -> Iterator[Callable[[], dict[str, int]]]:
        """Let the store misbehave in the block; what is yielded counts what was done.

        Parameters
        ----------
        **wanted
            ``rate``: the share of requests that end badly, and ``seed``. Or ``cut``: a part of the
            path of a PUT whose connection is cut ``before`` or ``after`` (``when``) it is carried
            out, ``times`` times; with ``answer`` it gets that status instead. Or ``careless``:
            conditions of requests are ignored, as by stores that do not know them. Or ``lazy``:
            a copy gets its content only at so many requests later, where the kind knows that.
        """
        self.control(wanted)
        try:
            yield lambda: self.control(None)
        finally:
            self.control({})

    def control(self, wanted: dict[str, Any] | None) -> dict[str, int]:
        """Choose the faults from now on, where any are given; return what was done so far."""
        data = None if wanted is None else json.dumps(wanted).encode()
        with urllib.request.urlopen(f"{self.endpoint}{CONTROL}", data, timeout=30) as answer:
            found: dict[str, int] = json.load(answer)
        return found


def kinds() -> dict[str, type[ObjectStore]]:
    """Return the stores that there are, by how addresses in them begin."""
    from tests.azure_store import AzureStore
    from tests.google_store import GoogleStore

    return {kind.scheme: kind for kind in (ObjectStore, GoogleStore, AzureStore)}


@contextmanager
def object_store(scheme: str = "s3") -> Iterator[ObjectStore]:
    """Start a store, and end it with the block."""
    kind = kinds()[scheme]
    keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, LETS_IN: kind.lets_in()}
    # It ends when its standard input does, so it never outlives the tests.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.object_store", scheme],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **keys},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield kind(f"http://127.0.0.1:{port}")
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


class _Faults:
    """Stands in front of the store."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner
        # Moto looks and then writes: a conditional PUT is only one with nobody in between.
        self._one_by_one = threading.RLock()
        self._set({})

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == CONTROL:
            return self._answer_control(environ, start)
        with self._one_by_one:
            self._counts["requests"] += 1
            cut = self._is_to_cut(environ)
            fault = self._random.choices(self._kinds, self._weights)[0]
        if self._wanted.get("careless"):
            had = {name: environ.pop(name) for name in CONDITIONS if name in environ}
            environ[SIGNED] = had
        environ["tests.lazy"] = self._wanted.get("lazy", 0)
        if cut:
            if self._wanted["when"] == "after":
                self._carry_out(environ, lambda *_, **__: None)
            self._count("cut")
            if "answer" not in self._wanted:
                return self._hang_up(environ)
            start(f"{self._wanted['answer']} Bad Day", [("Content-Type", "application/xml")])
            return [_LATER]
        if fault != "none":
            self._count(fault)
        if fault == "slow":
            time.sleep(SLOW_S)
        elif fault == "gone":
            return self._hang_up(environ)
        elif fault != "none":
            start(f"{fault} Bad Day", [("Content-Type", "application/xml")])
            return [_LATER]
        return self._carry_out(environ, start)

    def _carry_out(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        with self._one_by_one:
            return list(self._inner(environ, start))

    def _is_to_cut(self, environ: dict[str, Any]) -> bool:
        part = self._wanted.get("cut")
        if not part or environ["REQUEST_METHOD"] != "PUT" or part not in environ["PATH_INFO"]:
            return False
        return bool(self._counts["cut"] < self._wanted.get("times", 1))

    def _hang_up(self, environ: dict[str, Any]) -> list[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    def _answer_control(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        counts = json.dumps(self._counts).encode()
        if environ["REQUEST_METHOD"] == "POST":
            size = int(environ["CONTENT_LENGTH"])
            self._set(json.loads(environ["wsgi.input"].read(size)))
        start("200 OK", [("Content-Type", "application/json")])
        return [counts]

    def _set(self, wanted: dict[str, Any]) -> None:
        with self._one_by_one:
            self._wanted = wanted
            self._random = random.Random(wanted.get("seed", 0))
            rate = wanted.get("rate", 0.0)
            self._kinds = ("none", "500", "503", "slow", "gone")
            self._weights = (1 - rate, *[rate / 4] * 4)
            self._counts = dict.fromkeys(("requests", "cut", *self._kinds[1:]), 0)

    def _count(self, what: str) -> None:
        with self._one_by_one:
            self._counts[what] += 1


def moto() -> Callable[..., Iterable[bytes]]:
    """Return moto's server of S3."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    app: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
    return app


def application(scheme: str) -> Callable[..., Iterable[bytes]]:
    """Return what answers for a kind of store."""
    if scheme == "gs":
        from tests.google_store import GoogleFront

        return GoogleFront(moto(), os.environ[LETS_IN])
    if scheme == "az":
        from tests.azure_store import Containers

        return Containers()
    return moto()


def main(scheme: str) -> None:
    """Serve until standard input ends; the first line of standard output is the port."""
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    app = _Faults(application(scheme))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    # Handlers that were hung up complain, and that is what was wanted.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
