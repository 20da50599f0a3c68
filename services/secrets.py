"""Texts that leave the process carry no passwords."""

import os
import re
from urllib.parse import urlsplit

_IN_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]*@")
#: Where MLflow and Ray look for theirs.
_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "RAY_AUTH_TOKEN")
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
    for name in _VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= _MIN_LENGTH:
            text = text.replace(secret, "***")
    return text


def has_password(address: str) -> bool:
    """Tell whether an address names a user or a password.

    Examples
    --------
    >>> has_password("https://lab.org/mlflow"), has_password("https://ada:b@lab.org")
    (False, True)
    """
    return "@" in urlsplit(address).netloc
