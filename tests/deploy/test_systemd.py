"""The units that are shipped are those that `tessera schedule` prints."""

import configparser
from pathlib import Path

import pytest

from services.scheduling.schedule import Schedule
from services.scheduling.systemd import SERVICE, TIMER, render_systemd

ARCHIVE = Path("/srv/tessera/archive")
SCHEDULE = Schedule(
    "04:00",
    "Europe/Berlin",
    ("/srv/tessera/incoming",),
    "systemd",
    "/srv/tessera/archive/nights.toml",
)


@pytest.mark.parametrize("name", [SERVICE, TIMER])
def test_a_unit_is_as_printed(deploy, name):
    printed = render_systemd(
        SCHEDULE, tessera=["/opt/tessera/bin/tessera"], archive=ARCHIVE, user="tessera"
    )

    assert (deploy / "systemd" / name).read_text(encoding="utf-8") == printed[name]


@pytest.fixture
def service(deploy):
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    unit.read(deploy / "systemd" / SERVICE, encoding="utf-8")
    return unit["Service"]


def test_the_night_runs_as_somebody_who_is_not_root_and_can_become_nobody_else(service):
    assert service["User"] not in ("root", "")
    assert service["NoNewPrivileges"] == "true"


def test_the_rays_of_the_night_have_the_token_on_and_files_are_closed_to_others(service):
    assert service["Environment"] == "RAY_AUTH_MODE=token"
    assert service["UMask"] == "0027"
    assert service["PrivateTmp"] == "true"
