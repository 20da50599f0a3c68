import pytest

from services.secrets import has_password, without_passwords


def test_the_passwords_of_the_environment_are_blanked_out(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open-sesame")

    assert without_passwords("refused: open-sesame") == "refused: ***"


def test_an_address_keeps_all_but_its_user():
    said = without_passwords("postgresql://ada:b%40d@db:5432/m and mail to ada@lab.org")

    assert said == "postgresql://***@db:5432/m and mail to ada@lab.org"


@pytest.mark.parametrize(
    ("address", "has"),
    [("http://lab:5000", False), ("http://ada@lab", True), ("sqlite:////a@b/mlflow.db", False)],
)
def test_an_address_with_a_user_is_told_from_one_without(address, has):
    assert has_password(address) is has
