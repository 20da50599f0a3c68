import pytest
import torch

from pipelines.classifiers.architectures import WIDTHS
from pipelines.classifiers.networks import build_network
from pipelines.errors import ModelError

LEFT, NONE, RIGHT = 0, 1, 2


def describe(**changes):
    return {
        "architecture": "polar",
        "widths": [8, 16],
        "n_classes": 2,
        "dropout": 0.0,
        "antisymmetric": True,
        "mirrored_class": [1, 0],
        "n_networks": 1,
        **changes,
    }


def build(**changes):
    torch.manual_seed(0)
    return build_network(describe(**changes)).eval()


@pytest.fixture
def images():
    return torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", ["polar", "polar-coarse", "compact"])
@pytest.mark.parametrize("width", sorted(WIDTHS))
def test_every_network_gives_a_logit_per_class(architecture, width, images):
    network = build(
        architecture=architecture, widths=WIDTHS[width], n_classes=3, mirrored_class=[2, 1, 0]
    )

    assert network(images).shape == (5, 3)


@pytest.mark.parametrize("architecture", ["polar", "polar-coarse", "compact"])
def test_an_image_and_its_mirror_image_share_one_probability(architecture, images):
    network = build(architecture=architecture)

    plain = network(images).softmax(dim=1)[:, 1]
    mirrored = network(images.flip(-1)).softmax(dim=1)[:, 1]

    assert ((plain + mirrored - 1).abs() < 1e-6).all()
    assert (plain - 0.5).abs().max() > 1e-3


def test_with_a_class_of_its_own_mirror_image_the_other_two_are_exchanged(images):
    network = build(n_classes=3, mirrored_class=[RIGHT, NONE, LEFT])

    plain, mirrored = network(images), network(images.flip(-1))

    torch.testing.assert_close(mirrored, plain[:, [RIGHT, NONE, LEFT]], atol=1e-6, rtol=0)


def test_what_equals_its_mirror_image_has_no_hand(images):
    symmetric = images + images.flip(-1)

    probabilities = build()(symmetric).softmax(dim=1)

    torch.testing.assert_close(probabilities, torch.full((5, 2), 0.5), atol=1e-6, rtol=0)


def test_a_network_without_the_mirror_built_in_has_no_such_rule(images):
    network = build(antisymmetric=False)

    plain = network(images).softmax(dim=1)[:, 1]
    mirrored = network(images.flip(-1)).softmax(dim=1)[:, 1]

    assert ((plain + mirrored - 1).abs() > 1e-4).any()


def test_a_polar_network_does_not_mind_how_a_particle_lies(images):
    polar, compact = build(), build(architecture="compact")
    turned = torch.rot90(images, 1, (2, 3))

    torch.testing.assert_close(polar(turned), polar(images), atol=1e-5, rtol=0)
    assert not torch.allclose(compact(turned), compact(images), atol=1e-3)


def test_an_image_is_judged_alike_in_any_company(images):
    network = build().train()

    torch.testing.assert_close(network(images[:1]), network(images)[:1], atol=1e-6, rtol=0)


def test_several_networks_predict_their_mean(images):
    both = build(n_networks=2)

    one, other = both.networks

    assert not torch.allclose(one(images), other(images))
    torch.testing.assert_close(both(images), (one(images) + other(images)) / 2)


def test_constants_are_not_among_the_weights():
    assert not [name for name in build().state_dict() if "grid" in name or "swap" in name]


def test_another_architecture_is_refused():
    with pytest.raises(ModelError, match=r"one of polar, .*, nine, got 'resnet'"):
        build_network(describe(architecture="resnet"))


@pytest.mark.parametrize("part", sorted(describe()))
def test_a_description_that_lacks_a_part_is_refused(part):
    config = describe()
    del config[part]

    with pytest.raises(ModelError, match=f"lacks '{part}'"):
        build_network(config)
