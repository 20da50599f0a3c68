"""Runs and models on an MLflow server of the laboratory: PostgreSQL below, users above."""

import json
import urllib.request
from base64 import b64encode

import pytest
import torch

from pipelines.archive import create_archive
from pipelines.errors import ModelError, SettingsError
from pipelines.training.checkpoint import read_model, write_model
from services import cli
from services.model_promotion import promote_model
from services.model_registry import load_model, register_model
from services.tracking import open_client, track_run

CARD = {
    "seed": 0,
    "settings": {"epochs": 1},
    "code_version": "1",
    "libraries": {"torch": "2"},
    "mosaics": {"m": "d"},
    "segmentations": {"m": "s"},
    "label_version": 3,
    "label_digest": "l",
    "method": "ce",
    "test": {"final_test_accuracy": 0.9, "n_test": 10.0},
}


@pytest.fixture
def signed_in(server, monkeypatch):
    """The user and password that MLflow finds in the environment."""

    def sign_in(user, password):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    sign_in(server.user, server.password)
    return sign_in


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return create_archive(tmp_path_factory.mktemp("lab") / "a")


def register(archive, server, folder, weight):
    write_model(folder, {"w": torch.tensor([weight])}, {"classes": ["left", "right"]})
    settings = {"epochs": 1, "tracking_uri": server.address}
    with track_run(archive, "train", settings, tracking_uri=server.address) as run:
        run.history([{"loss": 2.0}, {"loss": 1.0}])
        run.dataset("labels", "l", source="tables/labels@3", context="training")
        return register_model(run, folder, name="hands", card=CARD)


def tessera(capsys, *words):
    capsys.readouterr()
    status = cli.run([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_models_are_registered_promoted_loaded_and_rolled_back(
    server, signed_in, archive, tmp_path, capsys
):
    for i in (1, 2):
        register(archive, server, tmp_path / str(i), float(i))
    where = ("--archive", archive.root, "--tracking-uri", server.address)
    for which in ("1", "@candidate"):
        status, _, said = tessera(
            capsys, "models", "promote", "hands", which, "--reason", "für die Nacht", *where
        )
        assert status == 0, said

    _, listed, _ = tessera(capsys, "models", "list", *where)
    champion = load_model(archive, "hands@champion", tracking_uri=server.address)
    previous = load_model(archive, "hands@previous", tracking_uri=server.address)
    status, rolled_back, _ = tessera(capsys, "models", "rollback", "hands", *where)
    _, shown, _ = tessera(capsys, "models", "show", "hands", *where, "--json")

    assert "hands/2  candidate champion" in listed
    assert "hands/1  previous" in listed
    # Both at hand at once, each with its own weights.
    assert [read_model(m.folder)[0]["w"].item() for m in (previous, champion)] == [1.0, 2.0]
    assert (status, "champion=1 from=2" in rolled_back) == (0, True)
    past = json.loads(shown)["promotions"]
    assert [(change["action"], change["version"]) for change in past] == [
        ("promote", "1"),
        ("promote", "2"),
        ("rollback", "1"),
    ]
    assert past[1]["reason"] == "für die Nacht"
    # It is PostgreSQL that knows, and no file of the archive.
    aliases = "select alias || version from registered_model_aliases order by alias"
    assert server.database.ask("mlflow", aliases).split() == ["candidate2", "champion1"]
    assert not (archive.root / "mlflow.db").exists()


def test_weights_that_were_exchanged_are_refused(server, signed_in, archive, tmp_path):
    made = register(archive, server, tmp_path / "one", 5.0)
    stored = load_model(archive, made.uri, tracking_uri=server.address).folder
    write_model(stored, {"w": torch.tensor([9.0])}, {"classes": ["left", "right"]})
    (stored / "card.json").write_text("{}")

    with pytest.raises(ModelError, match="not those that were registered"):
        load_model(archive, made.uri, tracking_uri=server.address)


@pytest.mark.parametrize("password", ["a-wrong-password", ""])
def test_a_wrong_password_is_refused_in_one_line(server, signed_in, archive, capsys, password):
    signed_in("admin", password)

    status, out, said = tessera(
        capsys, "models", "list", "--archive", archive.root, "--tracking-uri", server.address
    )

    assert (status, out) == (2, "")
    assert said == (
        f"tessera: tracking store {server.address} refuses the user or password: set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD\n"
    )


def test_one_who_may_only_read_can_use_models_and_change_nothing(
    server, signed_in, archive, tmp_path
):
    made = register(archive, server, tmp_path / "one", 7.0)
    add_user(server, "reader", "a-readers-password")
    signed_in("reader", "a-readers-password")

    assert load_model(archive, made.uri, tracking_uri=server.address).version == made.version
    with pytest.raises(ModelError, match="does not allow that to this user"):
        promote_model(archive, "hands", made.version, author="reader", tracking_uri=server.address)
    with pytest.raises(SettingsError, match="does not allow that to this user"):
        register(archive, server, tmp_path / "two", 8.0)


def add_user(server, name, password):
    signature = b64encode(f"{server.user}:{server.password}".encode()).decode()
    request = urllib.request.Request(
        f"{server.address}/api/2.0/mlflow/users/create",
        data=json.dumps({"username": name, "password": password}).encode(),
        headers={"Authorization": f"Basic {signature}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status in (200, 201)


def test_the_password_is_written_down_nowhere(server, signed_in, archive, tmp_path):
    made = register(archive, server, tmp_path / "one", 6.0)

    run = open_client(archive, server.address).get_run(made.run_id)
    kept = [path.read_bytes() for path in archive.root.rglob("*") if path.is_file()]
    assert server.password not in json.dumps(run.to_dictionary())
    assert not [content for content in kept if server.password.encode() in content]
