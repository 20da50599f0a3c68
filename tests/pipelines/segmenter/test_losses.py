import torch

from pipelines.segmenter.losses import field_loss


def shaped(value: float) -> torch.Tensor:
    return torch.full((1, 4, 8, 8), value)


def test_saying_what_is_wanted_costs_next_to_nothing():
    targets = shaped(0.0)
    targets[:, 0] = 1.0
    said = torch.zeros(1, 4, 8, 8)
    said[:, 0], said[:, 2] = 12.0, -12.0

    assert field_loss(said, targets, shaped(1.0)) < 1e-4


def test_a_pixel_without_weight_costs_nothing_whatever_is_said():
    targets, weights = shaped(0.0), shaped(1.0)
    weights[..., 3, 3] = 0
    said, other = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    other[..., 3, 3] = 50.0

    assert field_loss(said, targets, weights) == field_loss(other, targets, weights)


def test_a_mistake_beside_an_edge_costs_more_on_both_sides():
    targets = shaped(0.0)
    targets[:, 2, 4, 4] = 1.0

    def cost_at(y: int, x: int) -> float:
        said = torch.full((1, 4, 8, 8), -8.0)
        said[:, 1] = said[:, 3] = 0.0
        said[:, 0, y, x] = 8.0
        return float(field_loss(said, targets, shaped(1.0)))

    far, inside, outside = cost_at(0, 0), cost_at(4, 4), cost_at(4, 5)
    assert inside > far
    assert outside > far
