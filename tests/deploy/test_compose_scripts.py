"""The small programs of the composition, run with stand-ins for what they call."""

import importlib.util
import os
import subprocess
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import boto3
import pytest
from botocore.stub import Stubber

from services.scheduling.slots import next_slot, parse_time

#: Answers `date +%s` with the time in a file, and everything else as date does.
FAKE_DATE = """#!/bin/sh
if [ "$*" = "+%s" ]; then cat "$CLOCK"; else exec /usr/bin/date "$@"; fi
"""
FAKE_SLEEP = """#!/bin/sh
echo $(($(cat "$CLOCK") + $1)) > "$CLOCK"
"""
#: Notes the time and the arguments; the second night ends the script.
FAKE_TESSERA = """#!/bin/sh
echo "$(cat "$CLOCK") $*" >> "$NOTES"
if [ "$(wc -l < "$NOTES")" -ge 2 ]; then kill $PPID; fi
exit 1
"""


@pytest.fixture
def nights(tmp_path, deploy):
    """Run two nights from a given moment; return what was submitted, and when."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("date", FAKE_DATE), ("sleep", FAKE_SLEEP), ("tessera", FAKE_TESSERA)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    clock, notes = tmp_path / "clock", tmp_path / "notes"

    def run(now, at, zone):
        clock.write_text(f"{int(now.timestamp())}\n")
        environment = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CLOCK": str(clock),
            "NOTES": str(notes),
            "TESSERA_AT": at,
            "TZ": zone,
            "RAY_API_SERVER_ADDRESS": "http://head:8265",
        }
        script = deploy / "compose" / "nightly.sh"
        subprocess.run(["sh", script], env=environment, capture_output=True, timeout=600)
        lines = [line.split(" ", 1) for line in notes.read_text().splitlines()]
        return [(datetime.fromtimestamp(int(when), UTC), what) for when, what in lines]

    return run


@pytest.mark.parametrize(
    ("now", "at", "zone"),
    [
        ("2026-11-25T01:00:00+00:00", "04:00", "Europe/Berlin"),
        # At the very minute, it is the next day's turn.
        ("2026-11-25T03:00:00+00:00", "04:00", "Europe/Berlin"),
        # Clocks go forward, and back, in the night between.
        ("2027-03-27T12:00:00+00:00", "04:00", "Europe/Berlin"),
        ("2026-10-24T12:00:00+00:00", "04:00", "Europe/Berlin"),
        ("2026-10-24T23:30:00+00:00", "23:45", "Asia/Kolkata"),
    ],
)
def test_nights_come_at_the_slots_that_tessera_status_tells(nights, now, at, zone):
    now = datetime.fromisoformat(now)
    first = next_slot(parse_time(at), ZoneInfo(zone), now)

    submitted = nights(now, at, zone)

    assert [when for when, _ in submitted] == [
        first,
        next_slot(parse_time(at), ZoneInfo(zone), first),
    ]


def test_a_night_is_a_job_of_its_own_name_and_a_failure_does_not_end_the_nights(nights, commands):
    now = datetime(2026, 11, 25, 22, 0, tzinfo=UTC)

    (_, first), (_, second) = nights(now, "04:00", "Europe/Berlin")

    submit, _, verb = first.partition(" -- ")
    words = commands.split(submit)
    assert words[0] == "submit"
    commands.check_tessera(words)
    assert words[-1] == "2026-11-26"
    words = commands.split(verb)
    commands.check_tessera(words)
    assert words[-1] == "2026-11-26"
    assert second.endswith("--run-id 2026-11-27")


@pytest.fixture
def store(deploy):
    """A client of an S3 store, and what will answer it."""
    client = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as answers:
        yield client, answers


@pytest.fixture
def make_bucket(deploy):
    path = deploy / "compose" / "make_bucket.py"
    spec = importlib.util.spec_from_file_location("make_bucket", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_bucket


def test_a_bucket_is_made(store, make_bucket):
    client, answers = store
    answers.add_response("create_bucket", {}, {"Bucket": "mlflow"})

    assert make_bucket(client, "mlflow") is True
    answers.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["BucketAlreadyOwnedByYou", "BucketAlreadyExists"])
def test_a_bucket_that_is_there_is_left(store, make_bucket, code):
    client, answers = store
    answers.add_client_error("create_bucket", code)

    assert make_bucket(client, "mlflow") is False


def test_a_store_that_refuses_us_is_no_bucket(store, make_bucket):
    client, answers = store
    answers.add_client_error("create_bucket", "InvalidAccessKeyId")

    with pytest.raises(client.exceptions.ClientError, match="InvalidAccessKeyId"):
        make_bucket(client, "mlflow")
