"""Requests to the stand-in for Azure Blob Storage: how they are read, and who is let in."""

import base64
import hashlib
import hmac
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.object_store import SIGNED

ACCOUNT = "tesseratests"
KEY = base64.b64encode(b"azure-key-that-must-not-leak-out").decode()
#: What may come in without the key; it signs nothing here, as the stand-in believes it.
SIGNATURE = "azure+signature/that-must-not-leak="
#: Headers of the string that a key signs, in its order, before those of Microsoft's own.
_SIGNED = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type",
    "Date", "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


class Refusal(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Request:
    """A request, by itself or out of a batch."""

    method: str
    raw: str
    body: bytes
    headers: dict[str, str]
    #: As they came, where a store that ignores conditions has lost them.
    signed: dict[str, str]
    looks: int = 0

    @property
    def path(self) -> str:
        return urllib.parse.unquote(self.raw.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        pairs = urllib.parse.parse_qsl(self.raw.partition("?")[2], keep_blank_values=True)
        return dict(pairs)


def read(environ: dict[str, Any]) -> Request:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_LENGTH", "CONTENT_TYPE")
    }
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    lost = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.get(SIGNED, {}).items()
    }
    return Request(
        environ["REQUEST_METHOD"],
        environ["RAW_URI"],
        body,
        headers,
        {**headers, **lost},
        environ["tests.lazy"],
    )


def parts(request: Request) -> Iterator[tuple[str, Request]]:
    """Give the requests in a batch, with their numbers."""
    boundary = request.headers["content-type"].partition("boundary=")[2]
    for part in request.body.decode().split(f"--{boundary}\r\n")[1:]:
        outer, inner, *_ = part.split("\r\n\r\n")
        first, *lines = inner.split("\r\n")
        method, raw, _ = first.split(" ")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        number = re.search(r"Content-ID: (\d+)", outer)
        assert number is not None
        yield number.group(1), Request(method, raw, b"", headers, headers)


def check_signature(request: Request) -> None:
    """Refuse who has neither the account's key nor a shared access signature."""
    if "sig" in request.query:
        if request.query["sig"] == SIGNATURE:
            return
        raise Refusal("403 Server failed to authenticate the request.", "AuthenticationFailed")
    path, _, _ = request.raw.partition("?")
    headers = request.signed
    said = [headers.get(name.lower(), "") for name in _SIGNED]
    said[2] = said[2] if said[2] != "0" else ""
    own = "".join(f"{n}:{headers[n]}\n" for n in sorted(headers) if n.startswith("x-ms-"))
    asked = "".join(f"\n{name.lower()}:{request.query[name]}" for name in sorted(request.query))
    text = "\n".join([request.method, *said, f"{own}/{ACCOUNT}{path}{asked}"])
    digest = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
    expected = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    if headers.get("authorization") != expected:
        raise Refusal("403 Server failed to authenticate the request.", "AuthenticationFailed")
