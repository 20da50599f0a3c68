"""What stands in for Azure Blob Storage: containers of block blobs in memory.

It is not Microsoft's server. It knows what `object_store`, the library below Zarr's and Delta's
clients, asks for: blobs with tags and conditions on them, ranges, lists, copies, blocks, deletions
in batches, and requests signed with an account's key or by a shared access signature. What it
answers follows Microsoft's reference of the REST interface; its limits, permissions, snapshots
and delays it does not have, but a copy may be late when a test asks for it.
"""

import itertools
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from tests.azure_requests import (
    ACCOUNT,
    KEY,
    Refusal,
    Request,
    check_signature,
    parts,
    read,
)
from tests.object_store import ObjectStore

MAKE = "/_make/"


@dataclass(frozen=True)
class AzureStore(ObjectStore):
    """A running stand-in for Azure Blob Storage."""

    scheme: ClassVar[str] = "az"

    @property
    def secret(self) -> str:
        """The account's key."""
        return KEY

    @property
    def environment(self) -> dict[str, str]:
        """What a user of it has in the environment."""
        return {
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_ALLOW_HTTP": "true",
        }

    def make_bucket(self, name: str) -> str:
        """Make a container, and return its name."""
        urllib.request.urlopen(f"{self.endpoint}{MAKE}{name}", timeout=30).close()
        return name


@dataclass
class Blob:
    """A block blob; a late copy gets its content after so many looks at it."""

    content: bytes
    tag: str
    written: float = field(default_factory=time.time)
    looks_left: int = 0
    late: bytes = b""

    def look(self) -> None:
        """Notice that somebody looks."""
        if self.looks_left:
            self.looks_left -= 1
            if not self.looks_left:
                self.content = self.late

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What is told of it."""
        return [("ETag", f'"{self.tag}"'), ("Last-Modified", formatdate(self.written, usegmt=True))]


Answer = tuple[str, list[tuple[str, str]], bytes]


class Containers:
    """All there is in the account; asked by one at a time."""

    def __init__(self) -> None:
        self._containers: dict[str, dict[str, Blob]] = {}
        self._blocks: dict[str, dict[str, bytes]] = {}
        self._tags = itertools.count(int(time.time() * 1e6))

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"].startswith(MAKE):
            self._containers[environ["PATH_INFO"].removeprefix(MAKE)] = {}
            start("201 Created", [])
            return [b""]
        status, headers, body = self._answer(read(environ))
        length = [] if any(name == "Content-Length" for name, _ in headers) else [str(len(body))]
        start(status, [*headers, *(("Content-Length", text) for text in length)])
        return [body]

    def _answer(self, request: Request) -> Answer:
        try:
            check_signature(request)
            _, name, *rest = request.path.split("/", 2)
            if name not in self._containers:
                raise Refusal("404 The specified container does not exist.", "ContainerNotFound")
            if request.query.get("comp") == "list":
                return self._list(self._containers[name], request.query)
            if request.query.get("comp") == "batch":
                return self._batch(request)
            return self._one(self._containers[name], rest[0], request)
        except Refusal as refusal:
            told = f"<Error><Code>{refusal.code}</Code><Message>no</Message></Error>".encode()
            headers = [("x-ms-error-code", refusal.code), ("Content-Type", "application/xml")]
            return refusal.status, headers, b"" if request.method == "HEAD" else told

    def _one(self, blobs: dict[str, Blob], key: str, request: Request) -> Answer:
        """Carry out what is asked of one blob."""
        method, kind = request.method, request.query.get("comp")
        if method == "PUT" and kind == "block":
            blocks = self._blocks.setdefault(request.path, {})
            blocks[request.query["blockid"]] = request.body
            return "201 Created", [], b""
        found = blobs.get(key)
        _check_conditions(request, found)
        if method == "PUT":
            blobs[key] = self._write(blobs, kind, request)
            status = "202 Accepted" if "x-ms-copy-source" in request.headers else "201 Created"
            return status, blobs[key].headers, b""
        if found is None:
            raise Refusal("404 The specified blob does not exist.", "BlobNotFound")
        if method == "DELETE":
            del blobs[key]
            return "202 Accepted", [], b""
        found.look()
        return _read_out(found, request)

    def _write(self, blobs: dict[str, Blob], kind: str | None, request: Request) -> Blob:
        tag = f"0x{next(self._tags):X}"
        if kind == "blocklist":
            blocks = self._blocks.pop(request.path, {})
            wanted = re.findall(rb"<Uncommitted>(.*?)</Uncommitted>", request.body)
            return Blob(b"".join(blocks[name.decode()] for name in wanted), tag)
        if source := request.headers.get("x-ms-copy-source"):
            path = urllib.parse.unquote(urllib.parse.urlsplit(source).path)
            copied = blobs.get(path.split("/", 2)[2])
            if copied is None:
                raise Refusal("404 The specified blob does not exist.", "BlobNotFound")
            if request.looks:
                return Blob(b"", tag, looks_left=request.looks, late=copied.content)
            return Blob(copied.content, tag)
        if request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise Refusal("400 Bad Request", "MissingRequiredHeader")
        return Blob(request.body, tag)

    def _list(self, blobs: dict[str, Blob], query: dict[str, str]) -> Answer:
        """List names in order; those that share a part up to the delimiter are one prefix."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        found: dict[str, Blob | None] = {}
        for key in sorted(key for key in blobs if key.startswith(prefix)):
            head, parted, _ = key[len(prefix) :].partition(delimiter or "\0")
            is_prefix = bool(delimiter and parted)
            found[prefix + head + parted if is_prefix else key] = None if is_prefix else blobs[key]
        names = [name for name in found if name > query.get("marker", "")]
        names = [name for name in names if name >= query.get("startFrom", "")]
        n = int(query.get("maxresults", "5000"))
        marker = names[n - 1] if len(names) > n else ""
        listed = "".join(_entry(name, found[name]) for name in names[:n])
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{listed}</Blobs>'
            f"<NextMarker>{escape(marker)}</NextMarker></EnumerationResults>"
        )
        return "200 OK", [("Content-Type", "application/xml")], text.encode()

    def _batch(self, request: Request) -> Answer:
        """Carry out the deletions of a batch."""
        answered = []
        for number, inner in parts(request):
            status, headers, body = self._answer(inner)
            told = "".join(f"{name}: {value}\r\n" for name, value in headers)
            answered.append(
                f"--batchresponse_1\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n"
                f"\r\nHTTP/1.1 {status}\r\n{told}\r\n{body.decode()}\r\n"
            )
        text = "".join(answered) + "--batchresponse_1--\r\n"
        kind = [("Content-Type", "multipart/mixed; boundary=batchresponse_1")]
        return "202 Accepted", kind, text.encode()


def _check_conditions(request: Request, found: Blob | None) -> None:
    wanted = request.headers.get("if-match")
    if wanted is not None and (found is None or wanted != f'"{found.tag}"'):
        raise Refusal("412 The condition is not met.", "ConditionNotMet")
    if request.headers.get("if-none-match") == "*" and found is not None:
        raise Refusal("409 The specified blob already exists.", "BlobAlreadyExists")


def _read_out(blob: Blob, request: Request) -> Answer:
    size = len(blob.content)
    headers = [*blob.headers, ("Content-Type", "application/octet-stream")]
    asked = request.headers.get("x-ms-range") or request.headers.get("range")
    if request.method == "HEAD":
        return "200 OK", [*headers, ("Content-Length", str(size))], b""
    if not asked:
        return "200 OK", headers, blob.content
    first, _, last = asked.removeprefix("bytes=").partition("-")
    start, end = int(first), min(int(last) if last else size - 1, size - 1)
    if start >= size:
        raise Refusal("416 The range is not satisfiable.", "InvalidRange")
    headers.append(("Content-Range", f"bytes {start}-{end}/{size}"))
    return "206 Partial Content", headers, blob.content[start : end + 1]


def _entry(name: str, blob: Blob | None) -> str:
    """Write a line of a list."""
    if blob is None:
        return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
    return (
        f"<Blob><Name>{escape(name)}</Name><Properties>"
        f"<Last-Modified>{formatdate(blob.written, usegmt=True)}</Last-Modified>"
        f"<Etag>{blob.tag}</Etag><Content-Length>{len(blob.content)}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
    )
