import json

import numpy as np
import pytest
import torch

from pipelines.classifiers.fit import fit_classifier
from pipelines.classifiers.model import (
    check_pixel_size,
    load_classifier,
    predict_logits,
    to_tensor,
    turn,
)
from pipelines.classifiers.networks import build_network
from pipelines.errors import ModelError
from pipelines.training.team import Team

CPU = torch.device("cpu")


@pytest.fixture
def folder(plan, vary, tmp_path):
    fit_classifier(vary(plan, loop_n_epochs=1), tmp_path, Team())
    return tmp_path / "model"


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_can_be_used_with_its_folder_alone(folder, rng):
    classifier = load_classifier(folder)
    crops = rng.normal(size=(7, classifier.view.read_px, classifier.view.read_px))

    said = classifier.probabilities(crops.astype(np.float16))

    assert classifier.classes == ["left", "right"]
    assert said.shape == (7, 2)
    np.testing.assert_allclose(said.sum(axis=1), 1)


def test_the_weights_need_only_the_description_and_build_network(folder, rng):
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    network = build_network(config["network"]).eval()
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    image = rng.normal(size=(1, 1, *config["signature"]["inputs"][0]["shape"][2:]))

    logits = network(torch.from_numpy(image).float())

    assert list(logits.shape[1:]) == config["signature"]["outputs"][0]["shape"][1:]


def test_the_temperature_softens(folder, rng):
    crops = None
    confidence = []
    for temperature in (1.0, 5.0):
        change_config(folder, temperature=temperature)
        classifier = load_classifier(folder)
        if crops is None:
            crops = rng.normal(size=(9, classifier.view.read_px, classifier.view.read_px))
        confidence.append(classifier.probabilities(crops).max(axis=1))

    assert (confidence[1] < confidence[0]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2; this version reads 1"),
        ({"weights_digest": "0"}, "is not what config.json describes"),
    ],
)
def test_a_model_of_another_kind_is_refused(folder, changes, message):
    change_config(folder, **changes)

    with pytest.raises(ModelError, match=message):
        load_classifier(folder)


def test_weights_of_another_network_are_refused(folder, plan):
    change_config(folder, network={**plan.network, "widths": [8, 8]})

    with pytest.raises(ModelError, match="weights do not fit the network"):
        load_classifier(folder)


def config(trained, *, in_nm=True):
    return {"pixel_size_nm": trained, "view": {"in_nm": in_nm}}


@pytest.mark.parametrize(
    ("trained", "in_nm", "pixel_size_nm"),
    [
        ([2.0, 3.0], True, 1.0),
        ([2.0, 3.0], True, 6.0),
        (None, False, 5.0),
        (None, False, None),
        ([2.0, 2.0], False, None),
    ],
)
def test_pixels_like_those_trained_on_are_taken(trained, in_nm, pixel_size_nm):
    check_pixel_size(config(trained, in_nm=in_nm), "m", pixel_size_nm)


@pytest.mark.parametrize(
    ("pixel_size_nm", "in_nm"), [(0.99, True), (6.01, True), (None, True), (6.01, False)]
)
def test_other_pixels_are_refused(pixel_size_nm, in_nm):
    with pytest.raises(ModelError, match=r"mosaic m has .* trained on 2 to 3 nm"):
        check_pixel_size(config([2.0, 3.0], in_nm=in_nm), "m", pixel_size_nm)


def test_rotations_are_averaged_before_the_softmax(rng):
    class TopMinusBottom(torch.nn.Module):
        def forward(self, images):
            top, bottom = images[:, 0, 0].mean(dim=1), images[:, 0, -1].mean(dim=1)
            return torch.stack([top, bottom], dim=1)

    crops = rng.normal(size=(3, 9, 9)).astype(np.float32)

    logits = predict_logits(
        TopMinusBottom(), crops, angles_rad=[0.0, np.pi], input_px=5, device=CPU
    )

    np.testing.assert_allclose(logits[:, 0], logits[:, 1], atol=1e-5)


def test_turning_keeps_the_hand(scene, hand):
    crops = to_tensor(scene((64, 64), (31.5, 31.5))[None].astype(np.float32), CPU)

    for angle in (0.0, 0.7, np.pi / 2, 3.0, -1.2):
        assert hand(turn(crops, angle, input_px=50)[0, 0].numpy()) == 1
