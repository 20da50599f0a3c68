import subprocess
import sys

import pytest

HOLDER = """
import sys
from pipelines.archive import open_archive
from pipelines.places import place
from services.lock import hold
with hold(open_archive(place(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(archive):
    """Another process that holds the archive until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(archive.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
