"""Buckets that speak S3: Amazon's, and the many stores that one can run oneself."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.buckets.bucket import Bucket, is_true
from pipelines.errors import ArchiveError

if TYPE_CHECKING:
    from obstore.store import S3Store

#: Variables by which AWS's own services hand out credentials.
_ROLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class S3Bucket(Bucket):
    """``s3://BUCKET``.

    Examples
    --------
    >>> S3Bucket("scans-2026").check_name()
    """

    SCHEME = "s3"
    NAMES = "3 to 63 of a-z 0-9 . -"
    NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
    CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    ALLOW_HTTP = "AWS_ALLOW_HTTP"
    MISSING = "NoSuchBucket"
    REFUSED = frozenset(
        {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
    )

    def has_credentials(self) -> bool:
        """Tell whether a key, a role, or a profile is named."""
        given = os.environ.get
        if given("AWS_ACCESS_KEY_ID") and given("AWS_SECRET_ACCESS_KEY"):
            return True
        if any(given(name) for name in _ROLES) or is_true(given("AWS_SKIP_SIGNATURE", "")):
            return True
        return bool(given("AWS_PROFILE")) or _credentials_file().is_file()

    def endpoint(self) -> str:
        """Return the object store's address; empty for AWS's own."""
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""

    def open(self, prefix: str, **how: Any) -> "S3Store":
        """Make a client; profiles are read by boto3."""
        from obstore.store import S3Store

        if session := _profile():
            from obstore.auth.boto3 import Boto3CredentialProvider

            how["credential_provider"] = Boto3CredentialProvider(session)
        return S3Store(self.name, prefix=prefix or None, config={"region": _region()}, **how)

    def delta_options(self) -> dict[str, str]:
        """Return the region, and the keys of a profile, which Delta does not read."""
        options = {"aws_region": _region()}
        if session := _profile():
            known = session.get_credentials().get_frozen_credentials()
            options |= {
                "aws_access_key_id": known.access_key,
                "aws_secret_access_key": known.secret_key,
                **({"aws_session_token": known.token} if known.token else {}),
            }
        return options


def _credentials_file() -> Path:
    """Return where profiles keep their credentials."""
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(given) if given else Path.home() / ".aws" / "credentials"


@lru_cache(maxsize=4)
def _session(profile: str, file: str) -> Any:
    """Open the profile of a file of credentials, where it is this that says who we are."""
    try:
        import boto3
    except ImportError:
        raise ArchiveError(
            "AWS_PROFILE: profiles are read with boto3: pip install 'tessera-mosaic[server]'"
        ) from None
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        known = session.get_credentials()
    except (BotoCoreError, ValueError) as error:
        raise ArchiveError(f"AWS_PROFILE: {' '.join(str(error).split())}") from None
    if known is None:
        raise ArchiveError(f"AWS_PROFILE: profile {profile or 'default'} has no credentials")
    return session


def _profile() -> Any | None:
    """Return the session of the profile; None where variables say who we are."""
    given = os.environ.get
    variables = (given("AWS_ACCESS_KEY_ID"), *(given(name) for name in _ROLES))
    if any(variables) or is_true(given("AWS_SKIP_SIGNATURE", "")):
        return None
    profile, file = given("AWS_PROFILE", ""), _credentials_file()
    return _session(profile, str(file)) if profile or file.is_file() else None


def _region() -> str:
    given = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    session = None if given else _profile()
    return given or (session.region_name if session else None) or "us-east-1"
