"""Run a program with its secrets read from files: ``python -m services.with_secrets PROGRAM ...``.

Containers mount secrets as files. Programs that are not ours, such as MLflow's server, look for
them in the environment alone.
"""

import os
import sys

from pipelines.errors import SettingsError
from services.outcome import CALLERS_MISTAKE
from services.secrets import take_secret_files


def main(arguments: list[str]) -> int:
    """Become the program; return only if that fails."""
    if not arguments:
        print("with_secrets: PROGRAM is missing", file=sys.stderr)
        return CALLERS_MISTAKE
    try:
        take_secret_files()
        os.execvp(arguments[0], arguments)
    except SettingsError as error:
        print(f"with_secrets: {error}", file=sys.stderr)
    except OSError as error:
        print(f"with_secrets: {arguments[0]} cannot be run: {error.strerror}", file=sys.stderr)
    return CALLERS_MISTAKE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
