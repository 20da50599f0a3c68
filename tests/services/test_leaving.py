import os
import subprocess
import sys

import pytest


@pytest.fixture
def ended():
    """Run lines in a process that leaves at once; tell how it ended and what it said."""

    def run(lines, **options):
        begin = "import atexit, sys\nfrom services.leaving import leave_at_once\n"
        code = f"{begin}leave_with = leave_at_once()\n{lines}"
        # Output is buffered, as a user's is.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, text=True, env=environment, **options)

    return run


def test_a_process_leaves_with_its_status_and_all_that_it_had_to_say(ended):
    left = ended(
        "sys.stdout.write('out')\nsys.stderr.write('err')\nsys.exit(leave_with(3))",
        capture_output=True,
    )

    assert (left.returncode, left.stdout, left.stderr) == (3, "out", "err")


def test_what_was_to_be_done_at_the_end_is_done(ended):
    left = ended(
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
        "atexit.register(print, 'late')\n"
        "leave_with(0)",
        capture_output=True,
    )

    assert (left.returncode, left.stdout.split()) == (0, ["thread", "late"])


def test_nothing_is_taken_apart_piece_by_piece(ended):
    left = ended(
        "class Piece:\n    def __del__(self): print('taken apart')\npiece = Piece()\nleave_with(0)",
        capture_output=True,
    )

    assert (left.returncode, left.stdout) == (0, "")


def test_without_a_status_a_process_ends_as_any_other(ended):
    left = ended("raise ValueError('so')", capture_output=True)

    assert left.returncode == 1
    assert "ValueError: so" in left.stderr


def test_output_that_nobody_takes_is_told_as_ever(ended):
    with open("/dev/full", "w") as full:
        left = ended("print('out')\nleave_with(0)", stdout=full, stderr=subprocess.PIPE)

    assert left.returncode == 120
    assert "No space left on device" in left.stderr


def test_closed_streams_are_no_mistake(ended):
    left = ended("sys.stdout = None\nsys.exit(leave_with(2))", capture_output=True)

    assert (left.returncode, left.stderr) == (2, "")
