import json
import shutil

import pytest
import torch

from pipelines.errors import ModelError
from pipelines.segmentation.learned.model_folder import read_card, read_model_folder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def test_a_model_comes_back_as_it_was_written(model, network):
    found, card = read_model_folder(model)

    assert card.object_px == 18.0
    assert card.widths_px == (10.0, 40.0)
    for name, values in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], values)


def test_weights_that_were_altered_are_refused(copy):
    weights = copy / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(ModelError, match=r"weights.safetensors is not what config.json describes"):
        read_model_folder(copy)


def test_a_card_that_lacks_something_is_refused(copy):
    card = json.loads((copy / "config.json").read_text())
    del card["object_px"]
    (copy / "config.json").write_text(json.dumps(card))

    with pytest.raises(ModelError, match="does not say object_px"):
        read_card(copy)


def test_a_model_of_an_earlier_version_is_refused(copy):
    card = json.loads((copy / "config.json").read_text())
    del card["network"]["around_px"]
    (copy / "config.json").write_text(json.dumps(card))

    with pytest.raises(ModelError, match=r"earlier version, .* no around_px; fit it again"):
        read_card(copy)


def test_weights_of_another_network_are_refused(copy):
    card = json.loads((copy / "config.json").read_text())
    card["network"]["channels"] = [16, 32]
    (copy / "config.json").write_text(json.dumps(card))

    with pytest.raises(ModelError, match="do not fit the network"):
        read_model_folder(copy)


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path / "nowhere")


def test_another_working_scale_is_another_model(copy):
    before = read_card(copy).identity
    card = json.loads((copy / "config.json").read_text())
    card["object_px"] = 20.0
    (copy / "config.json").write_text(json.dumps(card))

    assert read_card(copy).identity != before


def test_reading_a_model_draws_from_nobodys_stream(model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    read_model_folder(model)

    assert torch.equal(torch.rand(3), expected)
