import pytest
import torch

from pipelines.training.mixing import mixup


def test_mixing_never_joins_two_samples_of_one_particle():
    torch.manual_seed(3)
    groups = torch.tensor([5, 5, 8, 8, 9, 11, 11])

    for _ in range(200):
        mixed = mixup(torch.zeros(7, 1), torch.zeros(7, 2), alpha=1.0, groups=groups)
        assert (groups[mixed.partners] != groups).all()


def test_every_sample_of_another_particle_may_be_the_partner():
    torch.manual_seed(3)
    groups = torch.tensor([5, 5, 8, 9])

    drawn = torch.stack(
        [
            mixup(torch.zeros(4, 1), torch.zeros(4, 2), alpha=1.0, groups=groups).partners
            for _ in range(600)
        ]
    )

    # Of 600 draws a half each, with 5 standard deviations of 12.2.
    assert abs(int((drawn[:, 0] == 2).sum()) - 300) < 62
    assert set(drawn[:, 2].tolist()) == {0, 1, 3}


def test_images_and_targets_are_mixed_by_the_same_shares():
    torch.manual_seed(3)
    images = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    targets = torch.eye(3)

    mixed = mixup(images, targets, alpha=0.5, groups=torch.tensor([1, 2, 3]))

    for i in range(3):
        share, j = mixed.shares[i].item(), int(mixed.partners[i])
        assert 0 <= share <= 1
        by_hand = share * images[i] + (1 - share) * images[j]
        assert torch.allclose(mixed.images[i], by_hand)
        assert mixed.targets[i, i].item() == pytest.approx(share)
        assert mixed.targets[i, j].item() == pytest.approx(1 - share)
    assert images[:, 0, 0, 0].tolist() == [1.0, 2.0, 4.0]


def test_one_particle_alone_is_left_as_it_is():
    images, targets = torch.randn(2, 3), torch.eye(2)

    mixed = mixup(images, targets, alpha=1.0, groups=torch.tensor([4, 4]))

    assert torch.equal(mixed.images, images)
    assert torch.equal(mixed.targets, targets)


def test_shares_follow_the_beta_distribution_and_can_favour_the_sample_itself():
    torch.manual_seed(3)
    groups = torch.arange(400)

    plain = mixup(torch.zeros(400, 1), torch.zeros(400, 1), alpha=4.0, groups=groups).shares
    own = mixup(
        torch.zeros(400, 1), torch.zeros(400, 1), alpha=4.0, groups=groups, mostly_own=True
    ).shares

    # Beta(4, 4): mean 1/2, standard deviation 1/6; bounds are 4 standard errors off.
    assert abs(plain.mean().item() - 0.5) < 0.034
    assert abs(plain.std().item() - 1 / 6) < 0.03
    assert own.min() >= 0.5


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="alpha must be positive and finite, got 0"):
        mixup(torch.zeros(2, 1), torch.zeros(2, 2), alpha=0, groups=torch.arange(2))
