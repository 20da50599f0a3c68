"""Clients of buckets: patient ones for the work, and a hasty one for the first question."""

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.buckets.azure import AzureContainer
from pipelines.buckets.bucket import Bucket, without_user
from pipelines.buckets.google import GoogleBucket
from pipelines.buckets.refusals import explain, in_a_line
from pipelines.buckets.s3 import S3Bucket
from pipelines.errors import ArchiveError

if TYPE_CHECKING:
    from pipelines.buckets.bucket import Store

#: Every kind of bucket, by how addresses in it begin.
KINDS: dict[str, type[Bucket]] = {
    kind.SCHEME: kind for kind in (S3Bucket, GoogleBucket, AzureContainer)
}
#: A busy or failing server is asked again, later each time, for so long.
RETRIES = 8
RETRY_FOR_S = 60
#: The first question must be answered sooner: a wrong address is a wrong address.
_FIRST_RETRIES = 2
_FIRST_FOR_S = 5


@lru_cache(maxsize=64)
def bucket_store(bucket: Bucket, prefix: str = "") -> "Store":
    """Open a bucket, or what lies in it below a prefix; asks it nothing yet."""
    how = _manners(bucket, RETRIES, RETRY_FOR_S, timeout_s=30)
    return bucket.open(prefix, **how)


def delta_options(bucket: Bucket) -> dict[str, str]:
    """Return what Delta needs to know besides the environment, which it reads itself."""
    return {
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_FOR_S}s",
        "timeout": "30s",
        "connect_timeout": "5s",
        **bucket.delta_options(),
    }


def check_answers(bucket: Bucket, prefix: str) -> None:
    """See that the bucket is there and lets us in, within seconds.

    Raises
    ------
    ArchiveError
        Saying in a line what is missing.
    """
    import obstore
    from obstore.exceptions import BaseError

    where = f"{bucket}/{prefix}".rstrip("/")
    if not bucket.has_credentials():
        raise ArchiveError(f"archive {where} needs credentials: set {bucket.CREDENTIALS}")
    if bucket.is_plain():
        raise ArchiveError(
            f"archive {where}: {without_user(bucket.endpoint())} is not encrypted; if that is "
            f"meant, set {bucket.ALLOW_HTTP}=true"
        )
    how = _manners(bucket, _FIRST_RETRIES, _FIRST_FOR_S, timeout_s=_FIRST_FOR_S)
    try:
        quick = bucket.open(prefix, **how)
    except (BaseError, OSError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(
            f"archive {where}: the credentials in the environment cannot be used: "
            f"{in_a_line(error)}"
        ) from None
    try:
        next(iter(obstore.list(quick, chunk_size=1)), None)
    except (BaseError, OSError) as error:
        raise ArchiveError(f"archive {where}: {explain(error, bucket)}") from None


def _manners(bucket: Bucket, retries: int, for_s: int, *, timeout_s: int) -> dict[str, Any]:
    """Say how long an answer is waited for, and how often it is asked for."""
    return {
        "client_options": {
            # What is said here hides what the environment says.
            "allow_http": bucket.allows_http(),
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=5),
        },
        "retry_config": {
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=for_s),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        },
    }
