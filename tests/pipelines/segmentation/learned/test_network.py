import pytest
import torch

from pipelines.segmentation.learned.network import CONFIGS, FIELDS, build_network


@pytest.mark.parametrize("name", ["slim", "wide"])
def test_every_pixel_gets_every_field(name):
    network = build_network(CONFIGS[name])

    fields = network(torch.zeros(1, 1, 2 * network.step_px, network.step_px))

    assert fields.shape == (1, len(FIELDS), 2 * network.step_px, network.step_px)


def test_the_slim_network_is_small():
    network = build_network(CONFIGS["slim"])

    assert sum(p.numel() for p in network.parameters()) < 400_000


def test_fields_turn_with_the_image_in_place_and_are_not_mirrored(network):
    image = torch.zeros(1, 1, 32, 32)
    image[0, 0, 4:8, 20:30] = 1.0

    with torch.no_grad():
        change = (network(image) - network(torch.zeros_like(image)))[0, 0].abs()

    assert change[:16, 16:].sum() > 2 * change[:16, :16].sum()
    assert change[:16, 16:].sum() > 2 * change[16:, 16:].sum()
