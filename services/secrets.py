"""Secrets come from the environment or from files that are closed to others, and stay inside."""

import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.buckets.opening import KINDS
from pipelines.errors import SettingsError

#: Begins where a word does, or a long word would be read again from each of its letters.
_IN_ADDRESS = re.compile(
    r"(?P<scheme>(?<![A-Za-z0-9+.-])[0-9+.-]*[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]*@"
)
#: Where MLflow, PostgreSQL and Ray look for theirs. Each but Ray's, which has a way of its own,
#: may also lie in a file that the variable with ``_FILE`` behind its name points to.
FROM_FILES = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "PGPASSWORD",
)
_VARIABLES = (
    *(name for name in FROM_FILES if "USERNAME" not in name),
    "RAY_AUTH_TOKEN",
)
_RAY_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
#: Shorter ones are words that stand in many texts.
_MIN_LENGTH = 4


def without_passwords(text: str) -> str:
    """Blank out users in addresses, and the passwords that this process knows.

    Examples
    --------
    >>> without_passwords("no answer from https://ada:lovelace@lab.org/mlflow")
    'no answer from https://***@lab.org/mlflow'
    """
    text = _IN_ADDRESS.sub(r"\g<scheme>***@", text)
    secrets = [os.environ.get(name, "") for name in _VARIABLES]
    secrets += [secret for kind in KINDS.values() for secret in kind.secrets()]
    for secret in (*secrets, _ray_token(os.environ.get(_RAY_TOKEN_PATH, ""))):
        if len(secret) >= _MIN_LENGTH:
            text = text.replace(secret, "***")
    return text


def take_secret_files() -> None:
    """Read the files that ``NAME_FILE`` variables point to into the variables ``NAME``.

    Raises
    ------
    SettingsError
        If a file cannot be read, is empty, or others may read it.
    """
    for name in FROM_FILES:
        path = os.environ.get(f"{name}_FILE")
        if path and name not in os.environ:
            os.environ[name] = _read_secret(Path(path), f"{name}_FILE")
    if path := os.environ.get(_RAY_TOKEN_PATH):
        # Ray reads it itself, but does not look who else may.
        _read_secret(Path(path), _RAY_TOKEN_PATH)


def check_closed(path: Path, what: str) -> None:
    """Refuse a file with a secret that anybody on the machine may read or change.

    Its group may read it: so containers get theirs.

    Raises
    ------
    SettingsError
        With what to do about it.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SettingsError(
            f"{what}: {path} holds a secret and is open to others (mode {mode:o}): chmod 600 {path}"
        )


def _read_secret(path: Path, what: str) -> str:
    try:
        check_closed(path, what)
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SettingsError(f"{what}: {path} cannot be read: {reason}") from error
    if not secret:
        raise SettingsError(f"{what}: {path} is empty")
    return secret


@lru_cache(maxsize=4)
def _ray_token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def has_password(address: str) -> bool:
    """Tell whether an address names a user or a password.

    Examples
    --------
    >>> has_password("https://lab.org/mlflow"), has_password("https://ada:b@lab.org")
    (False, True)
    """
    return "@" in urlsplit(address).netloc
