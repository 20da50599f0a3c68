"""What is the same for buckets of all object stores, and what each kind has to say of itself."""

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.errors import ArchiveError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    Store = S3Store | GCSStore | AzureStore


@dataclass(frozen=True)
class Bucket(ABC):
    """A bucket, by its name; a class per kind of object store says how it is reached."""

    name: str

    #: How addresses in it begin.
    SCHEME: ClassVar[str]
    #: What its vendor calls it.
    WORD: ClassVar[str] = "bucket"
    #: The rule of its name in words, and as a pattern.
    NAMES: ClassVar[str]
    NAME: ClassVar[re.Pattern[str]]
    #: The variables that say who we are, in words.
    CREDENTIALS: ClassVar[str]
    #: Those variables that hold a secret themselves.
    SECRETS: ClassVar[tuple[str, ...]]
    #: The variable that allows addresses that are not encrypted.
    ALLOW_HTTP: ClassVar[str]
    #: The store's own words for a bucket that is not there, and for credentials that are wrong.
    MISSING: ClassVar[str]
    REFUSED: ClassVar[frozenset[str]]
    #: Whether a copy may be there before its content is.
    COPIES_LATER: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.SCHEME}://{self.name}"

    @classmethod
    def address(cls) -> str:
        """Return how an archive's address is written."""
        return f"{cls.SCHEME}://{cls.WORD.upper()}/PREFIX"

    def check_name(self) -> None:
        """See that a bucket can be called so.

        Raises
        ------
        ArchiveError
            With the rule.
        """
        if not self.NAME.fullmatch(self.name):
            raise ArchiveError(
                f"a {self.WORD}'s name must be {self.NAMES} as in {self.address()}, "
                f"got {self.name!r}"
            )

    @abstractmethod
    def has_credentials(self) -> bool:
        """Tell whether anything on this machine says who we are; without asking anybody."""

    @abstractmethod
    def endpoint(self) -> str:
        """Return the object store's address; empty where it is the one that all know."""

    @abstractmethod
    def open(self, prefix: str, **how: Any) -> "Store":
        """Make a client for what lies below a prefix; ``how`` is the same for all kinds."""

    @classmethod
    def secrets(cls) -> list[str]:
        """Return the secrets that stand in the environment."""
        return [secret for name in cls.SECRETS if (secret := os.environ.get(name))]

    def delta_options(self) -> dict[str, str]:
        """Return what Delta needs to know besides the environment, which it reads itself."""
        return {}

    def is_plain(self) -> bool:
        """Tell whether requests would go over the line unencrypted without anybody meaning it."""
        return self.endpoint().startswith("http://") and not self.allows_http()

    def allows_http(self) -> bool:
        """Tell whether the environment allows addresses that are not encrypted."""
        return is_true(os.environ.get(self.ALLOW_HTTP, ""))


def is_true(text: str) -> bool:
    """Tell whether a variable says yes, as the libraries read it."""
    return text.lower() in ("1", "true", "yes", "on", "y")


def without_user(address: str) -> str:
    """Blank out the user in an address.

    Examples
    --------
    >>> without_user("http://ada:lovelace@lab.org:9000")
    'http://***@lab.org:9000'
    """
    return re.sub(r"//[^/@]*@", "//***@", address)
