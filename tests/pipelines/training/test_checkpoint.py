import json

import numpy as np
import pytest
import torch

from pipelines.errors import ModelError
from pipelines.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    read_config,
    read_model,
    write_checkpoint,
    write_model,
)


def checkpoint(n_epochs, **changes):
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    optimiser = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimiser.step()
    values = {
        "n_epochs_done": n_epochs,
        "weights": {"w": weight, "channels_last": torch.ones(1, 2, 3, 3)},
        "best_weights": {},
        "optimiser": optimiser.state_dict(),
        "sample_keys": np.array([30, 10, 20]),
        "sample_state": {"target": torch.tensor([3.0, 1.0, 2.0])},
        "common_state": {"rate": torch.tensor(0.4)},
        "history": [{"train_loss": 1.0 / (i + 1)} for i in range(n_epochs)],
        **changes,
    }
    return Checkpoint(**values)


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    written = checkpoint(2, best_weights={"w": torch.zeros(2)})
    write_checkpoint(tmp_path, written)

    read = read_checkpoint(tmp_path)

    assert read.n_epochs_done == 2
    assert read.history == written.history
    torch.testing.assert_close(read.weights["w"], written.weights["w"].detach())
    torch.testing.assert_close(read.best_weights["w"], torch.zeros(2))
    state = read.optimiser["state"][0]
    torch.testing.assert_close(state["exp_avg"], written.optimiser["state"][0]["exp_avg"])


def test_the_newest_checkpoint_counts_and_older_ones_go(tmp_path):
    for n_epochs in (9, 10, 11):
        write_checkpoint(tmp_path, checkpoint(n_epochs))

    assert read_checkpoint(tmp_path).n_epochs_done == 11
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00011"]


def test_a_checkpoint_that_was_cut_short_is_not_seen(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, checkpoint(1))

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path, checkpoint(2))

    assert read_checkpoint(tmp_path).n_epochs_done == 1
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001"]


def test_where_there_is_none_there_is_none(tmp_path):
    assert read_checkpoint(tmp_path) is None
    assert read_checkpoint(tmp_path / "nowhere") is None


def test_what_is_kept_per_sample_follows_the_samples_keys():
    state = checkpoint(1).sample_state_of(np.array([10, 20, 30]))

    assert state["target"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("keys", [[10, 20, 31], [5], [99]])
def test_a_checkpoint_of_other_samples_is_refused(keys):
    with pytest.raises(ModelError, match="of other samples"):
        checkpoint(1).sample_state_of(np.array(keys))


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path, capsys):
    write_checkpoint(tmp_path, checkpoint(1))
    torch.save({"optimiser": Evil()}, tmp_path / "epoch-00001" / "training.pt")

    with pytest.raises(Exception, match="Weights only load failed"):
        read_checkpoint(tmp_path)

    assert "unpickled" not in capsys.readouterr().out


def test_a_model_comes_back_with_its_description(tmp_path):
    weights = {"w": torch.arange(12.0).reshape(3, 4).t()}
    write_model(tmp_path / "model", weights, {"classes": ["left", "right"]})

    read, config = read_model(tmp_path / "model")

    torch.testing.assert_close(read["w"], weights["w"])
    assert config["classes"] == ["left", "right"]
    assert config == read_config(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "weights.safetensors",
    ]


def test_writing_a_model_again_replaces_it(tmp_path):
    for value in (1.0, 2.0):
        write_model(tmp_path / "model", {"w": torch.tensor([value])}, {})

    assert read_model(tmp_path / "model")[0]["w"].tolist() == [2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_weights_that_are_not_those_described_are_refused(tmp_path):
    write_model(tmp_path / "one", {"w": torch.zeros(1)}, {})
    write_model(tmp_path / "two", {"w": torch.ones(1)}, {})
    (tmp_path / "one" / "weights.safetensors").replace(tmp_path / "two" / "weights.safetensors")

    with pytest.raises(ModelError, match=r"is not what config\.json describes"):
        read_model(tmp_path / "two")


@pytest.mark.parametrize("missing", ["config.json", "weights.safetensors"])
def test_half_a_model_is_refused(tmp_path, missing):
    write_model(tmp_path / "model", {"w": torch.zeros(1)}, {})
    (tmp_path / "model" / missing).unlink()

    with pytest.raises(ModelError, match="cannot be read"):
        read_model(tmp_path / "model")


def test_a_description_that_is_not_json_is_refused(tmp_path):
    write_model(tmp_path / "model", {"w": torch.zeros(1)}, {})
    (tmp_path / "model" / "config.json").write_text("{'classes': ")

    with pytest.raises(ModelError, match="cannot be read"):
        read_model(tmp_path / "model")


def test_a_description_without_a_digest_is_refused(tmp_path):
    write_model(tmp_path / "model", {"w": torch.zeros(1)}, {})
    (tmp_path / "model" / "config.json").write_text(json.dumps({}))

    with pytest.raises(ModelError, match="cannot be read: 'weights_digest'"):
        read_model(tmp_path / "model")
