import json
import sys
import types

import pytest
from pydantic import Field

from services import cli
from services.outcome import Outcome
from services.settings import VerbSettings


class Settings(VerbSettings):
    """Count things."""

    limit: int = Field(3, ge=1, description="how many")


def execute(settings: Settings) -> Outcome:
    rows = [{"number": n} for n in range(settings.limit)]
    return Outcome("counted", {"n": settings.limit, "rows": rows}, screen="one\ntwo")


@pytest.fixture(autouse=True)
def family(monkeypatch):
    """A family of verbs with one member."""
    member = types.ModuleType("things_count")
    member.Settings, member.execute = Settings, execute
    parent = types.ModuleType("things", "Deal with things.")
    parent.ACTIONS = {"count": ("things_count", "count them")}
    monkeypatch.setitem(sys.modules, "things_count", member)
    monkeypatch.setitem(sys.modules, "things", parent)
    monkeypatch.setitem(cli.VERBS, "things", ("things", "deal with things"))


def test_a_family_of_verbs_lists_its_members(capsys):
    assert cli.run(["things", "--help"]) == 0

    shown = capsys.readouterr().out
    assert "Deal with things." in shown
    assert "count them" in shown


def test_a_member_shows_its_screen_above_the_one_line_for_scripts(capsys):
    assert cli.run(["things", "count", "--limit", "2"]) == 0

    assert capsys.readouterr().out == "one\ntwo\ncounted n=2\n"


def test_a_member_gives_lists_as_json_alone(capsys):
    assert cli.run(["things", "count", "--json", "--limit", "1"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found == {"done": "counted", "n": 1, "rows": [{"number": 0}], "quarantined": 0}


def test_a_member_reads_its_own_table_of_settings(tmp_path, capsys):
    toml = tmp_path / "s.toml"
    toml.write_text("[things.count]\nlimit = 1\n")

    assert cli.run(["things", "count", "--settings", str(toml)]) == 0
    assert capsys.readouterr().out.endswith("counted n=1\n")


def test_a_member_that_does_not_exist_is_refused(capsys):
    assert cli.run(["things", "lose"]) == 2

    assert "lose" in capsys.readouterr().err


def test_settings_of_a_member_that_it_does_not_know_are_refused(tmp_path, capsys):
    toml = tmp_path / "s.toml"
    toml.write_text("[things.count]\nlimits = 1\n")

    assert cli.run(["things", "count", "--settings", str(toml)]) == 2
    assert "[things.count] does not know limits" in capsys.readouterr().err


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_file_is_named_by_a_flag_or_by_the_environment(tmp_path, capsys, monkeypatch):
    flag, variable = tmp_path / "flag.jsonl", tmp_path / "variable.jsonl"
    monkeypatch.setenv("TESSERA_LOG_FILE", str(variable))

    assert cli.run(["things", "count"]) == 0
    assert cli.run(["things", "count", "--log-file", str(flag)]) == 0

    for path in (flag, variable):
        began, ended = events(path)
        assert (began["verb"], ended["said"]) == ("things.count", "counted n=3")
    assert capsys.readouterr().out.count("counted n=3") == 2


def test_a_refused_setting_is_logged_with_its_reason(tmp_path, capsys):
    log = tmp_path / "log.jsonl"

    assert cli.run(["things", "count", "--limit", "0", "--log-file", str(log)]) == 2

    assert events(log)[-1]["how"] == "refused"
    assert "--limit" in events(log)[-1]["reason"]
