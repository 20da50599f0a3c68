"""Who stands for what is written, where nobody is named."""

import getpass


def system_user() -> str:
    """Return the name of the system's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        return "unknown"
