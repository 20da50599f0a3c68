import pytest

from cluster.tokens import read_token


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user of whom nothing is known."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nobody_needs_a_token():
    assert read_token() is None


def test_it_is_looked_for_where_ray_looks_and_in_that_order(home, monkeypatch):
    write(home / ".ray" / "auth_token", "at home\n")
    from_home = read_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(write(home / "t", "in a file\n")))
    from_file = read_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "in the environment")

    assert (from_home, from_file, read_token()) == ("at home", "in a file", "in the environment")


def test_where_authentication_is_off_none_is_sent(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "sesame")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")

    assert read_token() is None


def test_a_file_that_is_named_and_missing_is_refused(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "nothing"))

    with pytest.raises(ConnectionError, match=r"nothing .* cannot be read: No such file"):
        read_token()
