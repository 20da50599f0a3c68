"""Buckets that speak S3: how they are reached, and what they answer in words.

Zarr, Delta and the paths of `bucket_path` share one kind of client, and take the address, the
region and the credentials from the same variables of the environment (``AWS_...``). Nothing of
that stands in a path, so nothing of it can be written down by accident.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ArchiveError

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3"
#: A busy or failing server is asked again, later each time, for so long.
RETRIES = 8
RETRY_FOR_S = 60
#: The first question must be answered sooner: a wrong address is a wrong address.
_FIRST_RETRIES = 2
_FIRST_FOR_S = 5
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TOLD = re.compile(r"<Code>([A-Za-z]+)</Code>")
#: Variables by which AWS's own services hand out credentials.
_ROLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class BucketError(OSError):
    """A bucket did not do what it was asked, also when asked again; ``strerror`` says why."""


def check_bucket_name(name: str) -> str:
    """Return ``name`` if a bucket can be called so.

    Examples
    --------
    >>> check_bucket_name("scans-2026")
    'scans-2026'
    """
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise ArchiveError(
            f"a bucket's name must be 3 to 63 of a-z 0-9 . - as in s3://BUCKET/PREFIX, got {name!r}"
        )
    return name


@lru_cache(maxsize=64)
def bucket_store(bucket: str, prefix: str = "") -> "S3Store":
    """Open a bucket, or what lies in it below a prefix; asks it nothing yet."""
    return _store(bucket, prefix, RETRIES, RETRY_FOR_S, timeout_s=30)


def check_answers(bucket: str, prefix: str) -> None:
    """See that the bucket is there and lets us in, within seconds.

    Raises
    ------
    ArchiveError
        Saying in a line what is missing.
    """
    import obstore
    from obstore.exceptions import BaseError

    where = f"s3://{bucket}/{prefix}".rstrip("/")
    if not has_credentials():
        raise ArchiveError(
            f"archive {where} needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE"
        )
    if endpoint().startswith("http://") and not is_true(os.environ.get("AWS_ALLOW_HTTP", "")):
        raise ArchiveError(
            f"archive {where}: {_without_user(endpoint())} is not encrypted; if that is meant, set "
            "AWS_ALLOW_HTTP=true"
        )
    try:
        quick = _store(bucket, prefix, _FIRST_RETRIES, _FIRST_FOR_S, timeout_s=_FIRST_FOR_S)
        next(iter(obstore.list(quick, chunk_size=1)), None)
    except (BaseError, OSError) as error:
        raise ArchiveError(f"archive {where}: {explain(error, bucket)}") from None


def has_credentials() -> bool:
    """Tell whether anything in the environment says who we are; without asking anybody."""
    given = os.environ.get
    if given("AWS_ACCESS_KEY_ID") and given("AWS_SECRET_ACCESS_KEY"):
        return True
    if any(given(name) for name in _ROLES) or is_true(given("AWS_SKIP_SIGNATURE", "")):
        return True
    return bool(given("AWS_PROFILE")) or credentials_file().is_file()


def credentials_file() -> Path:
    """Return where profiles keep their credentials."""
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(given) if given else Path.home() / ".aws" / "credentials"


def endpoint() -> str:
    """Return the object store's address, where it is not AWS's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def is_true(text: str) -> bool:
    """Tell whether a variable says yes, as the libraries read it."""
    return text.lower() in ("1", "true", "yes", "on", "y")


def delta_options() -> dict[str, str]:
    """Return what Delta needs to know besides the environment, which it reads itself."""
    options = {
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_FOR_S}s",
        "timeout": "30s",
        "connect_timeout": "5s",
        "aws_region": _region(),
    }
    if session := _profile():
        # Profiles it does not read.
        known = session.get_credentials().get_frozen_credentials()
        options |= {
            "aws_access_key_id": known.access_key,
            "aws_secret_access_key": known.secret_key,
            **({"aws_session_token": known.token} if known.token else {}),
        }
    return options


def explain(error: Exception, bucket: str) -> str:
    """Say in a few words what a bucket's refusal means."""
    text = str(error)
    found = _TOLD.search(text)
    code = found.group(1) if found else ""
    if code == "NoSuchBucket":
        return f"bucket {bucket} does not exist"
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        return f"the credentials in the environment are refused ({code})"
    if code == "AccessDenied" or "403 Forbidden" in text:
        return f"these credentials do not open bucket {bucket} (403)"
    at = f" at {_without_user(address)}" if (address := endpoint()) else ""
    status = re.search(r"status code: (\d{3})", text)
    if status:
        return f"the object store{at} answers {status.group(1)} {code}".rstrip()
    if "HTTP error" in text or "error sending request" in text or "dispatch" in text:
        return f"the object store{at} cannot be reached"
    return f"the object store{at} fails: {' '.join(text.split())[:200]}"


@contextmanager
def bucket_errors(path: Path, bucket: str) -> Iterator[None]:
    """Turn a store's errors in the block into those of a file system.

    Raises
    ------
    BucketError
        What is not there stays a FileNotFoundError.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise BucketError(errno.EIO, explain(error, bucket), str(path)) from None
        raise FileNotFoundError(errno.ENOENT, "No such object", str(path)) from None
    except BaseError as error:
        raise BucketError(errno.EIO, explain(error, bucket), str(path)) from error


def _store(bucket: str, prefix: str, retries: int, for_s: int, *, timeout_s: int) -> "S3Store":
    from obstore.store import S3Store

    config: dict[str, Any] = {"region": _region()}
    more: dict[str, Any] = {}
    if session := _profile():
        from obstore.auth.boto3 import Boto3CredentialProvider

        more["credential_provider"] = Boto3CredentialProvider(session)
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options={
            # What is said here hides what the environment says.
            "allow_http": is_true(os.environ.get("AWS_ALLOW_HTTP", "")),
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=5),
        },
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=for_s),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        },
        **more,
    )


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
    profile, file = given("AWS_PROFILE", ""), credentials_file()
    return _session(profile, str(file)) if profile or file.is_file() else None


def _region() -> str:
    given = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    session = None if given else _profile()
    return given or (session.region_name if session else None) or "us-east-1"


def _without_user(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", address)
