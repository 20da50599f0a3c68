import pytest
import torch
from safetensors.torch import save_file

from pipelines.defects.features import PlaceEncoder, learn_features, read_encoder, vicreg
from pipelines.errors import ModelError


def test_equal_views_that_vary_and_do_not_repeat_cost_nothing():
    draw = torch.Generator().manual_seed(0)
    z, _ = torch.linalg.qr(torch.randn(512, 4, generator=draw))
    z = (z - z.mean(dim=0)) * 30

    assert vicreg(z, z).item() == pytest.approx(0, abs=0.2)


def test_constant_embeddings_are_punished():
    z = torch.zeros(64, 4)

    # Every dimension lacks a sd of 1, but for the square root's 0.01.
    assert vicreg(z, z).item() == pytest.approx(25 * 0.99, rel=1e-3)


def test_features_have_a_place_every_four_pixels(clean_lattice):
    encoder = learn_features(clean_lattice, seed=0, n_steps=2)

    assert encoder(torch.zeros(2, 1, 64, 64)).shape == (2, PlaceEncoder.n_features, 16, 16)


def test_weights_from_a_file_are_used_and_others_refused(tmp_path):
    encoder = PlaceEncoder().eval()
    save_file(encoder.state_dict(), tmp_path / "own.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"not weights")

    again = read_encoder(tmp_path / "own.safetensors")

    x = torch.ones(1, 1, 32, 32)
    assert torch.equal(again(x), encoder(x))
    with pytest.raises(ModelError, match=r"other\.safetensors cannot be used"):
        read_encoder(tmp_path / "other.safetensors")
