import json
from datetime import UTC, datetime

import pytest
import yaml

from pipelines.archive import create_archive
from pipelines.errors import ArchiveError, SettingsError
from services import cli
from services.scheduling.schedule import read_schedule
from services.verbs import schedule


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "lab")


def run(archive, **settings):
    given = {"at": "04:00", "time_zone": "Europe/Berlin", "print": "cron", **settings}
    return schedule.execute(schedule.Settings(archive=archive.root, **given))


def test_the_archive_remembers_its_schedule_and_knows_the_next_slot(archive, tmp_path):
    (tmp_path / "in").mkdir()

    outcome = run(archive, print="systemd", watch_dir=(tmp_path / "in",))

    kept = read_schedule(archive)
    assert (kept.at, kept.time_zone, kept.kind) == ("04:00", "Europe/Berlin", "systemd")
    assert kept.watch_dirs == (str(tmp_path / "in"),)
    slot = datetime.fromisoformat(outcome.values["next"])
    assert slot == kept.next_slot(datetime.now(UTC))
    assert slot.strftime("%H:%M") == "04:00"


def test_what_cron_gets_is_a_crontab_to_the_last_line(archive):
    lines = run(archive).text().splitlines()

    others = [line for line in lines if not line.startswith(("#", "CRON_TZ="))]
    assert len(others) == 1
    assert f"{archive.root}/nightly.log" in others[0]
    assert lines[-1].startswith("# scheduled print=cron at=04:00 time_zone=Europe/Berlin next=")


def test_what_kubernetes_gets_is_yaml_to_the_last_line(archive):
    text = run(archive, print="kubernetes").text()

    assert yaml.safe_load(text)["metadata"]["name"] == "tessera-relabel-lab"


def test_files_are_written_where_asked(archive, tmp_path):
    run(archive, print="systemd", out=tmp_path / "units")

    assert sorted(path.name for path in (tmp_path / "units").iterdir()) == [
        "tessera-relabel.service",
        "tessera-relabel.timer",
    ]


def test_a_time_that_clocks_skip_is_warned_of(archive, capsys):
    run(archive, at="02:30")
    assert "the clocks of Europe/Berlin skip 02:30" in capsys.readouterr().err

    run(archive, at="02:30", time_zone="Asia/Tokyo")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at": "25:00"}, "--at must be HH:MM"),
        ({"time_zone": "Berlin"}, "--time-zone must be"),
        ({"watch_dir": ("/nowhere",)}, "--watch-dir must be a folder"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_remembered(archive, settings, message):
    with pytest.raises(SettingsError, match=message):
        run(archive, **settings)

    assert read_schedule(archive) is None


def test_a_folder_that_is_no_archive_is_refused(tmp_path):
    with pytest.raises(ArchiveError):
        schedule.execute(
            schedule.Settings(archive=tmp_path / "no", at="04:00", time_zone="UTC", print="cron")
        )


def test_the_command_gives_json_with_the_files(archive, capsys):
    status = cli.run(
        ["schedule", "--archive", str(archive.root), "--at", "04:00", "--time-zone", "UTC",
         "--print", "cron", "--json"]
    )  # fmt: skip

    assert status == 0
    said = json.loads(capsys.readouterr().out)
    assert said["next"].endswith("04:00+00:00")
    assert "CRON_TZ=UTC" in said["files"]["tessera.crontab"]


def test_a_schedule_that_was_damaged_is_none(archive):
    (archive.root / "schedule.json").write_text("{")

    assert read_schedule(archive) is None
