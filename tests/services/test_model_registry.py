import shutil

import pytest
import torch

from pipelines.archive import create_archive
from pipelines.errors import ModelError
from pipelines.training.checkpoint import write_model
from services.model_registry import load_model, register_model
from services.tracking import track_run

CARD = {
    "seed": 0,
    "settings": {"epochs": 1},
    "code_version": "1",
    "libraries": {"torch": "2"},
    "mosaics": {"m": "d"},
    "segmentations": {"m": "s"},
    "label_version": 0,
    "label_digest": "l",
}


def register(archive, folder, *, weight=1.0, card=CARD):
    write_model(folder, {"w": torch.tensor([weight])}, {"classes": ["left", "right"]})
    with track_run(archive, "train", {}) as run:
        return register_model(run, folder, name="hands", card=card)


# A database of MLflow's takes seconds to make, so tests that do not mind share one.
@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return create_archive(tmp_path_factory.mktemp("registry") / "a")


def test_the_newest_model_is_the_candidate_and_older_ones_stay(archive, tmp_path):
    first = register(archive, tmp_path / "one", weight=1.0)
    second = register(archive, tmp_path / "two", weight=2.0)

    newest = load_model(archive, "hands@candidate")
    oldest = load_model(archive, first.uri)

    assert (newest.uri, oldest.uri) == (second.uri, first.uri)
    assert newest.config["classes"] == ["left", "right"]
    assert newest.card["label_digest"] == "l"
    assert newest.card["run_id"] == newest.run_id
    assert newest.config["weights_digest"] != oldest.config["weights_digest"]


@pytest.mark.parametrize("key", sorted(CARD))
def test_a_model_that_could_not_be_made_again_is_refused(archive, tmp_path, key):
    card = {name: value for name, value in CARD.items() if name != key}

    with pytest.raises(ModelError, match=f"without {key}"):
        register(archive, tmp_path / "one", card=card)


def test_weights_that_were_exchanged_are_refused(archive, tmp_path):
    made = register(archive, tmp_path / "one")
    stored = load_model(archive, made.uri).folder
    assert made.folder != stored

    write_model(stored, {"w": torch.tensor([9.0])}, {"classes": ["left", "right"]})
    (stored / "card.json").write_text("{}")

    with pytest.raises(ModelError, match="not those that were registered"):
        load_model(archive, made.uri)


def test_an_archive_that_was_moved_keeps_its_models(archive, tmp_path):
    made = register(archive, tmp_path / "one")
    copy = tmp_path / "elsewhere"
    shutil.copytree(archive.root, copy)
    away = archive.root.rename(tmp_path / "away")
    try:
        found = load_model(create_archive(copy), made.uri)
    finally:
        away.rename(archive.root)

    assert found.folder.is_relative_to(copy)


@pytest.mark.parametrize("reference", ["hands@champion", "hands/700", "other@candidate"])
def test_a_model_that_is_not_there_is_refused(archive, tmp_path, reference):
    register(archive, tmp_path / "one")

    with pytest.raises(ModelError, match="is not registered"):
        load_model(archive, reference)


@pytest.mark.parametrize("reference", ["hands", "hands/x", "/3"])
def test_a_reference_that_names_nothing_is_refused(archive, reference):
    with pytest.raises(ModelError, match="must be NAME@ALIAS or NAME/VERSION"):
        load_model(archive, reference)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
def test_weights_that_were_altered_are_refused(archive, tmp_path, where):
    made = register(archive, tmp_path / "one")
    weights = load_model(archive, made.uri).folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[int(where * len(content))] ^= 1
    weights.write_bytes(content)

    with pytest.raises(ModelError, match="weights"):
        load_model(archive, made.uri)


def test_classes_that_were_exchanged_are_refused(archive, tmp_path):
    made = register(archive, tmp_path / "one")
    config = load_model(archive, made.uri).folder / "config.json"
    config.write_text(config.read_text().replace('"left"', '"x"').replace('"right"', '"left"'))

    with pytest.raises(ModelError, match="config is not that which was registered"):
        load_model(archive, made.uri)


def test_a_run_may_register_several_models(archive, tmp_path):
    with track_run(archive, "train", {}) as run:
        for i, name in enumerate(("ears", "tails")):
            write_model(tmp_path / name, {"w": torch.tensor([float(i)])}, {"classes": ["a"]})
            register_model(run, tmp_path / name, name=name, card=CARD)

    folders = {load_model(archive, f"{name}@candidate").folder for name in ("ears", "tails")}
    assert len(folders) == 2
