import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Tessera = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tessera(own_home: Path) -> Tessera:
    """Run the command in a process of its own, as a user does."""

    def run(*arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, sys.executable, "-m", "services", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=own_home,
            env=dict(os.environ),
        )

    return run
