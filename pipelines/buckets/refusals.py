"""What object stores answer when they do not do what they are asked, in words."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.buckets.bucket import Bucket, without_user

_TOLD = re.compile(r"<Code>([A-Za-z]+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")


class BucketError(OSError):
    """A bucket did not do what it was asked, also when asked again; ``strerror`` says why."""


def explain(error: Exception, bucket: Bucket) -> str:
    """Say in a few words what a bucket's refusal means."""
    text = str(error)
    found, numbered = _TOLD.search(text), _STATUS.search(text)
    code, status = found.group(1) if found else "", numbered.group(1) if numbered else ""
    named = f"{bucket.WORD} {bucket.name}"
    if "token request" in text:
        said = f"is refused ({status})" if status else "cannot be asked for"
        return f"a token for the credentials in the environment {said}"
    if code == bucket.MISSING:
        return f"{named} does not exist"
    if code in bucket.REFUSED or status == "401":
        return f"the credentials in the environment are refused ({code or status})"
    if code == "AccessDenied" or status == "403":
        return f"these credentials do not open {named} (403)"
    at = f" at {without_user(address)}" if (address := bucket.endpoint()) else ""
    if status:
        return f"the object store{at} answers {status} {code}".rstrip()
    if "HTTP error" in text or "error sending request" in text or "dispatch" in text:
        return f"the object store{at} cannot be reached"
    return f"the object store{at} fails: {in_a_line(error)}"


def in_a_line(error: Exception) -> str:
    """Return what a client says itself, without what it says to its programmers."""
    said = " ".join(str(error).split()).partition(" Debug source")[0]
    return said[:200]


@contextmanager
def bucket_errors(path: Path, bucket: Bucket) -> Iterator[None]:
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
        if bucket.MISSING in str(error):
            raise BucketError(errno.EIO, explain(error, bucket), str(path)) from None
        raise FileNotFoundError(errno.ENOENT, "No such object", str(path)) from None
    except BaseError as error:
        raise BucketError(errno.EIO, explain(error, bucket), str(path)) from error
