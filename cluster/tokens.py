"""The token without which a cluster serves nobody: read from where Ray reads it."""

import os
from pathlib import Path

#: Where Ray keeps it for a user, below the home.
DEFAULT_PATH = Path(".ray", "auth_token")


def read_token() -> str | None:
    """Return the cluster's token, or None where there is none or none is wanted.

    It stands in ``RAY_AUTH_TOKEN``, else in the file that ``RAY_AUTH_TOKEN_PATH`` names, else in
    ``~/.ray/auth_token``; ``RAY_AUTH_MODE=disabled`` asks for none.

    Raises
    ------
    ConnectionError
        If the file that is named cannot be read.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / DEFAULT_PATH
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        if not named:
            return None
        raise ConnectionError(
            f"the token file {path} (RAY_AUTH_TOKEN_PATH) cannot be read: {error.strerror}"
        ) from None
    return token or None


def refusal(cluster: str, token: str | None) -> str:
    """Say in one line why a cluster serves nobody with this token."""
    if token is None:
        return f"{cluster} asks for a token: set RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"
    return f"{cluster} refuses this token"
