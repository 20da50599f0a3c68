import pytest
import torch

from pipelines.segmentation.learned.network import (
    CONFIGS,
    FIELDS,
    build_network,
    describe_network,
    local_contrast,
)


@pytest.mark.parametrize("width", sorted(CONFIGS))
@pytest.mark.parametrize("compared", [False, True])
def test_every_pixel_gets_every_field(width, compared):
    network = build_network(describe_network(width, local_contrast=compared))

    fields = network(torch.zeros(1, 1, 2 * network.step_px, network.step_px))

    assert fields.shape == (1, len(FIELDS), 2 * network.step_px, network.step_px)


def test_the_slim_network_is_small():
    network = build_network(describe_network("slim", local_contrast=True))

    assert sum(p.numel() for p in network.parameters()) < 400_000


def test_fields_turn_with_the_image_in_place_and_are_not_mirrored(network):
    image = torch.zeros(1, 1, 32, 32)
    image[0, 0, 4:8, 20:30] = 1.0

    with torch.no_grad():
        change = (network(image) - network(torch.zeros_like(image)))[0, 0].abs()

    assert change[:16, 16:].sum() > 2 * change[:16, :16].sum()
    assert change[:16, 16:].sum() > 2 * change[16:, 16:].sum()


def test_a_dim_spot_on_a_steep_slope_stands_out_as_one_on_flat_ground():
    slope = torch.linspace(-1, 1, 128).expand(128, 128).clone()
    flat = torch.zeros(128, 128)
    for image in (slope, flat):
        image[60:68, 60:68] += 0.2

    on_slope, on_flat = (local_contrast(image[None, None], 36)[0, 0] for image in (slope, flat))

    assert on_slope[60:68, 60:68].mean() > 1
    assert on_flat[60:68, 60:68].mean() > 1
    # Far from it and from the border, nothing does.
    assert on_slope[20:40, 40:88].abs().max() < 0.2


def test_faint_grain_does_not_stand_out():
    torch.manual_seed(0)
    grain = 0.005 * torch.randn(1, 1, 64, 64)

    assert local_contrast(grain, 36).std() < 0.1
