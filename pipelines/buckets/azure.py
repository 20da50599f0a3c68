"""Containers of Azure Blob Storage."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from pipelines.buckets.bucket import Bucket, is_true

if TYPE_CHECKING:
    from obstore.store import AzureStore

_ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
_SIGNATURES = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_CLIENT_SECRETS = ("AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET")
_TOKEN = "AZURE_STORAGE_TOKEN"
#: Variables by which Azure's own services hand out credentials.
_ROLES = (
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_MSI_ENDPOINT",
    "AZURE_IDENTITY_ENDPOINT",
    "IDENTITY_ENDPOINT",
)
#: Azure's machines say so; there a server beside the machine hands out credentials.
_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")
_AZURES_TAG = "7783-7084-3265-9085-8269-3286-77"


class AzureContainer(Bucket):
    """``az://CONTAINER``.

    Examples
    --------
    >>> AzureContainer("scans-2026").check_name()
    """

    SCHEME = "az"
    WORD = "container"
    NAMES = "3 to 63 of a-z 0-9 and single -"
    NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
    CREDENTIALS = (
        f"{_ACCOUNT} and {_KEYS[0]}, {_SIGNATURES[0]}, or AZURE_CLIENT_ID with AZURE_TENANT_ID and "
        f"{_CLIENT_SECRETS[1]}"
    )
    SECRETS = (*_KEYS, *_SIGNATURES, *_CLIENT_SECRETS, _TOKEN, "AZURE_FABRIC_SESSION_TOKEN")
    ALLOW_HTTP = "AZURE_ALLOW_HTTP"
    MISSING = "ContainerNotFound"
    REFUSED = frozenset(
        {"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"}
    )
    COPIES_LATER = True

    def has_credentials(self) -> bool:
        """Tell whether an account is named, and a key, a signature, or a role."""
        given = os.environ.get
        if _is_emulated():
            return True
        says = (*_KEYS, *_SIGNATURES, *_CLIENT_SECRETS, _TOKEN, *_ROLES)
        is_known = any(given(name) for name in says) or is_true(given("AZURE_USE_AZURE_CLI", ""))
        return bool(given(_ACCOUNT)) and (is_known or _is_azures_machine())

    @classmethod
    def secrets(cls) -> list[str]:
        """Return the secrets of the environment, and what signs a shared access signature."""
        found = super().secrets()
        for name in _SIGNATURES:
            signature = re.search(r"\bsig=([^&]+)", unquote(os.environ.get(name, "")))
            if signature:
                # As it is, and as it stands in addresses.
                found += [signature.group(1), quote(signature.group(1), safe="")]
        return found

    def endpoint(self) -> str:
        """Return the object store's address, which tells accounts apart."""
        account = os.environ.get(_ACCOUNT, "")
        if _is_emulated():
            # As the clients find it.
            emulator = os.environ.get("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:10000")
            return f"{emulator.rstrip('/')}/{account or 'devstoreaccount1'}"
        given = os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT")
        return given or f"https://{account}.blob.core.windows.net"

    def allows_http(self) -> bool:
        """Tell whether plain addresses are allowed, as they are for the emulator."""
        return super().allows_http() or _is_emulated()

    def open(self, prefix: str, **how: Any) -> "AzureStore":
        """Make a client; it finds the credentials in the environment itself."""
        from obstore.store import AzureStore

        return AzureStore(self.name, prefix=prefix or None, **how)


def _is_emulated() -> bool:
    return is_true(os.environ.get("AZURE_STORAGE_USE_EMULATOR", ""))


def _is_azures_machine() -> bool:
    try:
        return _TAG.read_text(encoding="utf-8").strip() == _AZURES_TAG
    except (OSError, UnicodeDecodeError):
        return False
