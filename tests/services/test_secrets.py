import os
import subprocess
import sys

import pytest

from pipelines.errors import SettingsError
from services.secrets import FROM_FILES, has_password, take_secret_files, without_passwords
from services.verbs.relabel import Settings as Relabel


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_TRACKING_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_STORAGE_TOKEN",
    ],
)
def test_the_passwords_of_the_environment_are_blanked_out(monkeypatch, name):
    monkeypatch.setenv(name, "open-sesame")

    assert without_passwords("refused: open-sesame") == "refused: ***"


def test_the_key_inside_a_service_account_is_blanked_out(monkeypatch):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", '{"private_key": "-----BEGIN\\nMIIE"}')

    assert without_passwords("a -----BEGIN\nMIIE b -----BEGIN\\nMIIE c") == "a *** b *** c"


def test_what_signs_an_address_is_blanked_out(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2023-11-03&sp=rw&sig=open%2Fses%3D")

    said = without_passwords("GET https://lab.org/a?sig=open%2Fses%3D&sp=rw or open/ses=")

    assert said == "GET https://lab.org/a?sig=***&sp=rw or ***"


def test_an_address_keeps_all_but_its_user():
    said = without_passwords("postgresql://ada:b%40d@db:5432/m and mail to ada@lab.org")

    assert said == "postgresql://***@db:5432/m and mail to ada@lab.org"


@pytest.mark.parametrize(
    ("address", "has"),
    [("http://lab:5000", False), ("http://ada@lab", True), ("sqlite:////a@b/mlflow.db", False)],
)
def test_an_address_with_a_user_is_told_from_one_without(address, has):
    assert has_password(address) is has


@pytest.fixture
def password(tmp_path, monkeypatch):
    """A file with MLflow's password, closed to others."""
    path = tmp_path / "password"
    path.write_text("open-sesame\n")
    path.chmod(0o600)
    for name in FROM_FILES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(path))
    return path


def test_a_secret_is_read_from_the_file_that_is_named(password, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))

    take_secret_files()

    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "open-sesame"
    assert without_passwords("refused: open-sesame") == "refused: ***"


def test_the_environment_wins_over_the_file(password, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")

    take_secret_files()

    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "another"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o606, 0o620])
def test_a_secret_that_others_may_read_or_change_is_refused(password, mode):
    password.chmod(mode)

    with pytest.raises(SettingsError, match=rf"open to others \(mode {mode:o}\): chmod 600"):
        take_secret_files()


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_a_secret_that_its_group_alone_may_read_is_taken(password, mode, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    password.chmod(mode)

    take_secret_files()

    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "open-sesame"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read: No such file"), ("\n", "is empty"), (b"\xff", "is not text")],
)
def test_a_secret_that_is_not_there_is_refused(password, content, reason):
    password.unlink()
    if content is not None:
        password.write_bytes(content if isinstance(content, bytes) else content.encode())
        password.chmod(0o600)

    with pytest.raises(SettingsError, match=reason):
        take_secret_files()


def test_the_token_of_ray_must_be_closed_too_and_is_blanked_out(password, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    token = tmp_path / "token"
    token.write_text("a-rays-token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    token.chmod(0o644)
    with pytest.raises(SettingsError, match="RAY_AUTH_TOKEN_PATH"):
        take_secret_files()

    token.chmod(0o600)
    take_secret_files()

    assert without_passwords("Bearer a-rays-token") == "Bearer ***"


def test_another_program_gets_the_secret_in_its_environment(password):
    code = "import os; print(os.environ['MLFLOW_TRACKING_PASSWORD'])"

    said = subprocess.run(
        [sys.executable, "-m", "services.with_secrets", sys.executable, "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stdout == "open-sesame\n"


def test_another_program_is_not_run_with_a_secret_that_is_open(password):
    password.chmod(0o644)

    said = subprocess.run(
        [sys.executable, "-m", "services.with_secrets", "echo", "ran"],
        capture_output=True, text=True,
    )  # fmt: skip

    assert (said.returncode, said.stdout) == (2, "")
    assert "open to others" in said.stderr


def test_a_settings_file_with_a_secret_must_be_closed(tmp_path):
    toml = tmp_path / "nights.toml"
    toml.write_text('assume = "right"\n[relabel]\nwebhook = "https://lab.org/hook/1"\n')
    toml.chmod(0o644)
    flags = {"archive": tmp_path}

    with pytest.raises(SettingsError, match=r"--settings: .*nights\.toml holds a secret"):
        Relabel.load("relabel", toml, flags)

    toml.chmod(0o600)
    assert Relabel.load("relabel", toml, flags).webhook.get_secret_value().endswith("/hook/1")


def test_a_settings_file_without_a_secret_may_be_open(tmp_path):
    toml = tmp_path / "nights.toml"
    toml.write_text('assume = "right"\n[relabel]\nmargin = 0.02\n')
    toml.chmod(0o644)

    assert Relabel.load("relabel", toml, {"archive": tmp_path}).margin == 0.02
