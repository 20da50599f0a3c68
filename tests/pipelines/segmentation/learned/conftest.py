from pathlib import Path

import pytest
import torch

from pipelines.segmentation.learned.model_folder import write_model_folder
from pipelines.segmentation.learned.network import N_FIELDS, FieldNetwork, build_network

SMALL = {"channels": [8, 16], "layers": 1, "around_px": 36}


def draw_network(seed: int = 0) -> FieldNetwork:
    """Random weights, the same for the same seed, with fields lively enough to show objects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(SMALL)
    with torch.no_grad():
        network.head.weight.mul_(2.0)
        # Channels of a field come four by four: one for each pixel of two by two.
        bias = network.head.bias.view(N_FIELDS, 4)
        bias[0] += 0.5
        bias[1] += 0.6
    return network.eval()


@pytest.fixture(scope="session")
def network() -> FieldNetwork:
    return draw_network()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, network: FieldNetwork) -> Path:
    folder = tmp_path_factory.mktemp("models") / "drawn"
    card = {
        "network": SMALL,
        "object_px": 18.0,
        "polarity_free": True,
        "widths_px": [10.0, 40.0],
        "pixel_sizes_nm": [1.0, 2.0],
    }
    write_model_folder(folder, network, card)
    return folder
