"""Buckets of Google Cloud Storage."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.buckets.bucket import Bucket

if TYPE_CHECKING:
    from obstore.store import GCSStore

#: Variables that name a file with a service account, or an account of `gcloud`.
_FILES = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS")
_KEY = "GOOGLE_SERVICE_ACCOUNT_KEY"
#: Google's machines say so; there a server on the machine itself hands out credentials.
_MAKER = Path("/sys/class/dmi/id/product_name")


class GoogleBucket(Bucket):
    """``gs://BUCKET``.

    Examples
    --------
    >>> GoogleBucket("scans_2026").check_name()
    """

    SCHEME = "gs"
    NAMES = "3 to 63 of a-z 0-9 . _ -"
    NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
    CREDENTIALS = f"GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT or {_KEY}"
    SECRETS = (_KEY, "GOOGLE_BEARER_TOKEN")
    ALLOW_HTTP = "GOOGLE_ALLOW_HTTP"
    MISSING = "NoSuchBucket"
    REFUSED = frozenset({"AuthenticationRequired", "InvalidSecurity", "ExpiredToken"})

    def has_credentials(self) -> bool:
        """Tell whether an account is named, `gcloud` knows one, or this is Google's machine."""
        if any(os.environ.get(name) for name in (*_FILES, _KEY, "GCE_METADATA_HOST")):
            return True
        known = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
        return known.is_file() or _is_googles_machine()

    @classmethod
    def secrets(cls) -> list[str]:
        """Return the secrets of the environment, and the key inside the service account."""
        key = str(_service_account().get("private_key", ""))
        return [*super().secrets(), key, key.replace("\n", "\\n")]

    def endpoint(self) -> str:
        """Return the object store's address; empty for Google's own."""
        return os.environ.get("GOOGLE_BASE_URL") or str(_service_account().get("gcs_base_url", ""))

    def open(self, prefix: str, **how: Any) -> "GCSStore":
        """Make a client; it finds the credentials in the environment itself."""
        from obstore.store import GCSStore

        return GCSStore(self.name, prefix=prefix or None, **how)


def _service_account() -> dict[str, Any]:
    """Return what the service account says; it may name a store of one's own."""
    try:
        text = os.environ.get(_KEY) or ""
        for name in _FILES[:2]:
            if not text and (path := os.environ.get(name)):
                text = Path(path).read_text(encoding="utf-8")
        found = json.loads(text or "{}")
    except (OSError, ValueError):
        # Whoever makes the client says what is wrong with it.
        return {}
    return found if isinstance(found, dict) else {}


def _is_googles_machine() -> bool:
    try:
        return _MAKER.read_text(encoding="utf-8").startswith("Google")
    except (OSError, UnicodeDecodeError):
        return False
