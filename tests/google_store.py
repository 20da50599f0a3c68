"""What stands in for Google Cloud Storage: its XML interface, translated to moto's S3.

It is not Google's server. It knows what `object_store`, the library below Zarr's and Delta's
clients, asks for: objects with generations, conditions on them, lists, copies and uploads in parts,
and tokens that a service account signs itself. What it answers follows Google's reference of the
XML interface; its limits, permissions and delays it does not have.
"""

import base64
import itertools
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from tests.object_store import ObjectStore

MAKE = "/_make/"
EMAIL = "driver@tessera-tests.iam.gserviceaccount.com"
#: Where Google's machines ask for a token, and the token that they get.
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
_TOKEN = "token-of-the-machine"
_XML = [("Content-Type", "application/xml")]
_MOTOS = (
    "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=0"
)


@cache
def signing_key() -> Any:
    """Return the key of the service account that is let in; made anew by every run of tests."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: Any) -> str:
    """Write a private key as a service account holds it."""
    from cryptography.hazmat.primitives import serialization as form

    plain = form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, plain).decode()


def service_account(endpoint: str, pem: str) -> dict[str, str]:
    """Return the content of a service account's file for a store of one's own."""
    return {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key_id": "1",
        "private_key": pem,
        "gcs_base_url": endpoint,
    }


@dataclass(frozen=True)
class GoogleStore(ObjectStore):
    """A running stand-in for Google Cloud Storage."""

    scheme: ClassVar[str] = "gs"

    @property
    def secret(self) -> str:
        """A line out of the middle of the private key."""
        return private_pem(signing_key()).splitlines()[5]

    @staticmethod
    def lets_in() -> str:
        """Say in PEM whose signature is accepted."""
        from cryptography.hazmat.primitives import serialization as form

        public = signing_key().public_key()
        pem = public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        return pem.decode()

    @property
    def environment(self) -> dict[str, str]:
        """What a user of it has in the environment."""
        account = service_account(self.endpoint, private_pem(signing_key()))
        return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account), "GOOGLE_ALLOW_HTTP": "true"}

    def make_bucket(self, name: str) -> str:
        """Make a bucket, and return its name."""
        urllib.request.urlopen(f"{self.endpoint}{MAKE}{name}", timeout=30).close()
        return name


class GoogleFront:
    """Stands in front of moto, and is asked by one at a time."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], public_pem: str) -> None:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        self._inner = inner
        self._key: Any = load_pem_public_key(public_pem.encode())
        self._generations: dict[str, int] = {}
        self._next = itertools.count(int(time.time() * 1e6))

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path.startswith(MAKE):
            environ["REQUEST_METHOD"] = "PUT"
            self._lead(environ, f"/{path.removeprefix(MAKE)}")
            return self._inner(environ, start)
        if path == METADATA:
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"access_token": _TOKEN, "expires_in": 3600}).encode()]
        if not self._may_enter(environ.pop("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")):
            return _refuse(start, "401 Unauthorized", "AuthenticationRequired")
        wanted = environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if wanted is not None and int(wanted) != self._generations.get(path, 0):
            return _refuse(start, "412 Precondition Failed", "PreconditionFailed")
        if source := environ.pop("HTTP_X_GOOG_COPY_SOURCE", None):
            environ["HTTP_X_AMZ_COPY_SOURCE"] = source
        self._lead(environ, path)
        query = urllib.parse.parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        is_part = {"uploads", "partNumber"} & query.keys()
        writes = method == "PUT" or (method == "POST" and "uploadId" in query)

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if status.startswith("2"):
                if method == "DELETE" and not query:
                    self._generations.pop(path, None)
                elif writes and not is_part:
                    self._generations[path] = next(self._next)
            if path in self._generations and not is_part:
                headers = [*headers, ("x-goog-generation", str(self._generations[path]))]
            return start(status, headers, *more)

        return self._inner(environ, begin)

    def _lead(self, environ: dict[str, Any], path: str) -> None:
        """Ask for a path as S3's clients do, and as somebody whom moto believes anything."""
        environ["HTTP_AUTHORIZATION"] = _MOTOS
        query = environ["QUERY_STRING"]
        environ["PATH_INFO"] = path
        environ["RAW_URI"] = urllib.parse.quote(path) + (f"?{query}" if query else "")
        environ["REQUEST_URI"] = environ["RAW_URI"]

    def _may_enter(self, token: str) -> bool:
        """Tell whether the account that is let in has signed a token, which is not too old."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        if token == _TOKEN:
            return True
        head, _, signature = token.rpartition(".")
        try:
            claims = json.loads(_decode(head.rpartition(".")[2]))
            self._key.verify(_decode(signature), head.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        return bool(claims["iss"] == EMAIL and claims["exp"] > time.time())


def _refuse(start: Callable[..., Any], status: str, code: str) -> list[bytes]:
    start(status, _XML)
    return [f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()]


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
